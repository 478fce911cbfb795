#!/usr/bin/env bash
# Makes the file system of the image: the two programs, without what debuggers want, the libraries that they are linked
# with, the authorities that the world trusts, a user. No shell, no package manager.
#
#   root.sh PROGRAMS ROOT     the folder with `afterbay` and `sink-runtime`, and the folder that is made
#
# The Dockerfile and the end-to-end tests both call it: what is tested is what is shipped.
set -euo pipefail
# Whoever makes it, everybody may read it.
umask 022
programs=$1 root=$2
authorities=/etc/ssl/certs/ca-certificates.crt

fail() { printf 'image: %s\n' "$*" >&2; exit 1; }

[[ ! -e $root ]] || fail "$root is there already"
[[ -f $authorities ]] || fail "no $authorities: install ca-certificates"
mkdir -p "$root"/{usr/local/bin,etc/ssl/certs,usr/share/doc}
install -d -m 1777 "$root/tmp"

for program in afterbay sink-runtime; do
    [[ -x $programs/$program ]] || fail "no $programs/$program: run cargo build --workspace --bins"
    strip -o "$root/usr/local/bin/$program" "$programs/$program"
    chmod 755 "$root/usr/local/bin/$program"
done

# At the places where the loader looks, under the names that the programs ask for.
linked=$(ldd "$programs/afterbay" "$programs/sink-runtime")
! grep -F 'not found' <<<"$linked" >&2 || fail 'a library that the programs are linked with is missing'
grep -oE '/[^ ]+ \(0x' <<<"$linked" | sed 's/ (0x//' | sort -u | while read -r library; do
    install -D -m 755 "$(realpath "$library")" "$root$library"
    # Whoever passes a library on passes its licence on. Distributions know it by one of its two places.
    package=$(dpkg-query -S "$library" "/usr$library" 2>/dev/null | head -n 1 | cut -d : -f 1) || true
    if [[ -n $package && -f /usr/share/doc/$package/copyright ]]; then
        install -D -m 644 "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/copyright"
    fi
done

install -m 644 "$authorities" "$root$authorities"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
echo 'nonroot:x:65532:65532:nonroot:/:/sbin/nologin' >"$root/etc/passwd"
echo 'nonroot:x:65532:' >"$root/etc/group"
