# A schema registry with Confluent's interface, plain; and in front of it a door for each way to be let in.
# shellcheck shell=bash

registry_url() { printf 'http://%s:%s/apis/ccompat/v7' "$host" "$registry_port"; }

registry_up() {
    local java
    is_up registry quarkus-run.jar && curl -sf "$(registry_url)/subjects" >/dev/null && return
    free_port registry "$registry_port"
    # What it was told lasts, as with any registry: a schema that is gone would take along all messages written by it.
    local data="jdbc:h2:file:$state/data/registry/schemas;WRITE_DELAY=0"
    java=$(java_of 21) || fail 'no java of at least version 21: run e2e/rig/install.sh'
    spawn registry "$java" -Xmx256m -XX:TieredStopAtLevel=1 "-Dquarkus.http.host=$host" \
        "-Dquarkus.http.port=$registry_port" "-Dquarkus.management.host=$host" \
        "-Dquarkus.management.port=$((registry_port + 1000))" "-Dapicurio.datasource.url=$data" \
        -jar "$installed/registry/quarkus-run.jar"
    await registry 90 curl -sf "$(registry_url)/subjects"
}

# Three ports: a password, a client certificate, both.
secure_registry_up() {
    is_up secure-registry nginx && listens "$secure_registry_port" && return
    registry_up
    free_port secure-registry "$secure_registry_port"
    "$here/certificates.sh"
    local certificates=$state/certificates
    mkdir -p "$state/run" "$state/log"
    printf 'afterbay:%s\n' "$(openssl passwd -apr1 registry-secret)" >"$state/run/htpasswd"
    door() {
        cat <<CONF
 server { listen $host:$1 ssl;
  ssl_certificate $certificates/broker.crt; ssl_certificate_key $certificates/broker.key;
  ssl_client_certificate $certificates/ca.crt; ssl_verify_client $2;
  location / { $3 proxy_pass $(registry_url)/; } }
CONF
    }
    local password="auth_basic registry; auth_basic_user_file $state/run/htpasswd;"
    cat >"$state/run/nginx.conf" <<CONF
pid $state/run/nginx-own.pid; error_log $state/log/secure-registry.err; daemon off; worker_processes 1;
$([[ $(id -u) -eq 0 ]] && echo 'user root;')
events { worker_connections 256; }
http { access_log off; client_body_temp_path $state/run/nginx-body; proxy_temp_path $state/run/nginx-proxy;
 fastcgi_temp_path $state/run/nginx-fastcgi; uwsgi_temp_path $state/run/nginx-uwsgi; scgi_temp_path $state/run/nginx-scgi;
$(door "$secure_registry_port" off "$password")
$(door $((secure_registry_port + 1)) on '')
$(door $((secure_registry_port + 2)) on "$password")
}
CONF
    spawn secure-registry nginx -c "$state/run/nginx.conf"
    await secure-registry 20 listens "$secure_registry_port"
}
