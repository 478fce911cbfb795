# How the demos show what they do; to be sourced.
export AFTERBAY_DEMO_DIR="$PWD/target/demo"
mkdir -p "$AFTERBAY_DEMO_DIR"
build_log=$AFTERBAY_DEMO_DIR/build.log

heading() {
    if [[ -t 1 ]]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi
}

# Says what it does, and shows what was said only if it fails.
quietly() {
    local what=$1 started=$SECONDS
    shift
    printf '  %s … ' "$what"
    if "$@" >"$build_log" 2>&1; then
        printf 'done (%s s)\n' $((SECONDS - started))
    else
        printf 'failed\n'
        tail -n 30 "$build_log"
        exit 1
    fi
}
