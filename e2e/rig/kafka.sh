# Kafka brokers: KRaft. The plain one has its controller in a process of its own, so that it can be killed as brokers are:
# the controller notices, and the broker comes back as one that was away. (A process that is both would at first take
# itself for what it was before it died, and Kafka 4.3 then leaves out the markers of transactions that were about to be
# committed: docs/kafka.md, "A transaction that never ends".)
# shellcheck shell=bash

# After this time without a word from it the controller takes a broker for gone.
session_seconds=10

kafka_java() {
    java_of 17 || fail 'no java of at least version 17: run e2e/rig/install.sh'
}

kafka_settings() {
    local name=$1 port=$2 roles=$3 id=$4
    cat <<CONF
process.roles=$roles
node.id=$id
controller.listener.names=CONTROLLER
controller.quorum.voters=$(controller_id "$name")@$host:$((port + 1))
log.dirs=$state/data/$name
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=5
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
# Transactions beyond their timeout are looked for every second, so that tests of it need not wait for ten.
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
# A broker that was killed is let in again when its old session has ended.
broker.session.timeout.ms=$((session_seconds * 1000))
broker.heartbeat.interval.ms=500
CONF
}

controller_listeners() {
    cat <<CONF
listeners=CONTROLLER://$host:$(($1 + 1))
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
CONF
}

# On the port two above it clients are told to go on at the third one above: that is where a test can put a proxy, which
# then stands between the broker and those clients for good.
plain_listeners() {
    cat <<CONF
listeners=PLAINTEXT://$host:$1,PROXIED://$host:$(($1 + 2))
advertised.listeners=PLAINTEXT://$host:$1,PROXIED://$host:$(($1 + 3))
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
CONF
}

# Passwords on the first port, client certificates on the port two above it.
secure_listeners() {
    local certificates=$state/certificates plain=org.apache.kafka.common.security.plain.PlainLoginModule
    local scram=org.apache.kafka.common.security.scram.ScramLoginModule
    cat <<CONF
listeners=SASL_SSL://$host:$1,SSL://$host:$(($1 + 2)),CONTROLLER://$host:$(($1 + 1))
advertised.listeners=SASL_SSL://$host:$1,SSL://$host:$(($1 + 2))
inter.broker.listener.name=SASL_SSL
listener.security.protocol.map=SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:SSL
sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256,PLAIN
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=$scram required username="admin" password="admin-secret";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=$scram required;
listener.name.sasl_ssl.plain.sasl.jaas.config=$plain required user_admin="admin-secret" user_afterbay="afterbay-secret" user_limited="limited-secret";
ssl.keystore.type=PEM
ssl.keystore.location=$certificates/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location=$certificates/ca.crt
ssl.client.auth=none
listener.name.ssl.ssl.client.auth=required
listener.name.controller.ssl.client.auth=required
ssl.principal.mapping.rules=RULE:^CN=([^,]+).*\$/\$1/,DEFAULT
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:broker;User:client;User:afterbay
allow.everyone.if.no.acl.found=false
CONF
}

# The controller of a broker is another node only where it is another process.
controller_id() { case $1 in broker | broker-controller) echo 100 ;; *) echo 1 ;; esac; }

broker_up() {
    is_up broker broker.properties && listens "$broker_port" && return
    kafka_up broker-controller "$((broker_port + 1))" controller 100 controller_listeners "$broker_port"
    # One that was killed, as is one that takes too long to stop, is let in again when the controller has given it up.
    local ended=$state/run/broker.ended left
    if [[ -f $ended ]]; then
        left=$(($(stat -c %Y "$ended") + session_seconds + 2 - $(date +%s)))
        [[ $left -le 0 ]] || sleep "$left"
        rm "$ended"
    fi
    kafka_up broker "$broker_port" broker 1 plain_listeners "$broker_port"
}

broker_down() {
    end_process broker broker.properties "$1"
    touch "$state/run/broker.ended"
}

secure_broker_up() {
    kafka_up secure-broker "$secure_broker_port" broker,controller 1 secure_listeners "$secure_broker_port"
}

# Brings up a process; it has come when it listens on this port.
kafka_up() {
    local name=$1 port=$2 roles=$3 id=$4 listeners=$5 base=$6 java settings users=()
    is_up "$name" "$name.properties" && listens "$port" && return
    free_port "$name" "$port"
    java=$(kafka_java)
    settings=$state/run/$name.properties
    mkdir -p "$state/run"
    "$here/certificates.sh"
    { kafka_settings "$name" "$base" "$roles" "$id"; "$listeners" "$base"; } >"$settings"
    if [[ ! -f $state/data/$name/meta.properties ]]; then
        if [[ $listeners == secure_listeners ]]; then
            for user in admin afterbay limited; do
                for mechanism in SCRAM-SHA-512 SCRAM-SHA-256; do
                    users+=(--add-scram "$mechanism=[name=$user,password=$user-secret]")
                done
            done
        fi
        "$java" -Xmx128m -XX:TieredStopAtLevel=1 "-Dlog4j2.configurationFile=$here/log4j2.yaml" -cp "$installed/kafka/*" \
            kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qk -c "$settings" "${users[@]}" >/dev/null
    fi
    spawn "$name" "$java" "-Xms$(heap "$roles")" "-Xmx$(heap "$roles")" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
        "-Dlog4j2.configurationFile=$here/log4j2.yaml" -cp "$installed/kafka/*" kafka.Kafka "$settings"
    await "$name" 180 grep -q 'Kafka Server started' "$state/log/$name.log"
    await "$name" 30 listens "$port"
}

heap() { [[ $1 == controller ]] && echo 128m || echo "${AFTERBAY_RIG_BROKER_HEAP:-256m}"; }
