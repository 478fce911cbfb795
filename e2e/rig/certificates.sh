#!/usr/bin/env bash
# Certificates for the rig: an authority, a server, a client, and somebody from another authority.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
folder=$state/certificates
[[ -f $folder/done ]] && exit 0
mkdir -p "$folder"
cd "$folder"

authority() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -keyout "$1.key" -out "$1.crt" -subj "/CN=rig-$1" \
        -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign' 2>/dev/null
}
certificate() {
    local name=$1 authority=$2
    openssl req -newkey rsa:2048 -nodes -keyout "$name.key" -out "$name.csr" -subj "/CN=$name" 2>/dev/null
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$host" >"$name.ext"
    openssl x509 -req -in "$name.csr" -CA "$authority.crt" -CAkey "$authority.key" -CAcreateserial -days 3650 \
        -extfile "$name.ext" -out "$name.crt" 2>/dev/null
    openssl pkcs8 -topk8 -nocrypt -in "$name.key" -out "$name.pk8"
    cat "$name.pk8" "$name.crt" >"$name.pem"
}
authority ca
authority other-ca
certificate broker ca
certificate client ca
certificate intruder other-ca
chmod 644 ./*.key
touch done
