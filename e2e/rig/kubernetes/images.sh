# Images, made without a container engine, and brought to the node.
# shellcheck shell=bash

# An image of one program that needs nothing else: NAME PROGRAM.
image_of_program() {
    local name=$1 program=$2 archive=$state/images/$2.tar work
    if [[ ! $archive -nt $programs/$program ]]; then
        work=$(mktemp -d)
        mkdir "$work/root"
        cp "$programs/$program" "$work/root/"
        printf 'FROM scratch\nENTRYPOINT ["/%s"]\n' "$program" >"$work/Dockerfile"
        mkdir -p "$state/images"
        python3 "$kubernetes/image.py" "$archive" "$name" "$work/root" "$work/Dockerfile"
        rm -r "$work"
    fi
    load_image "$archive"
}

# The product's image under a tag, of the programs in a folder: TAG FOLDER.
product_image() {
    local tag=$1 folder=$2 archive=$state/images/afterbay-$1.tar work
    work=$(mktemp -d)
    "$repository/image/root.sh" "$folder" "$work/root"
    mkdir -p "$state/images"
    python3 "$kubernetes/image.py" "$archive" "afterbay:$tag" "$work/root" "$repository/Dockerfile"
    rm -r "$work"
    load_image "$archive"
}

load_image() {
    if given; then
        local load=${AFTERBAY_E2E_LOAD_IMAGE:-}
        [[ -n $load ]] || fail 'AFTERBAY_E2E_LOAD_IMAGE is not set: the command that brings an archive of an image to the nodes'
        # It is a command with its arguments.
        $load "$1"
    else
        within ctr --namespace k8s.io images import "$1" >/dev/null
    fi
}
