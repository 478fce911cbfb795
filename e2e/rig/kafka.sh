# Kafka brokers: KRaft, one process each.
# shellcheck shell=bash

kafka_java() {
    java_of 17 || fail 'no java of at least version 17: run e2e/rig/install.sh'
}

kafka_settings() {
    local name=$1 port=$2
    cat <<CONF
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
controller.quorum.voters=1@$host:$((port + 1))
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
# A broker that was killed is let in again when its old session has ended.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
CONF
}

plain_listeners() {
    cat <<CONF
listeners=PLAINTEXT://$host:$1,CONTROLLER://$host:$(($1 + 1))
advertised.listeners=PLAINTEXT://$host:$1
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
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

kafka_up() {
    local name=$1 port=$2 listeners=$3 java settings users=()
    is_up "$name" "$name.properties" && listens "$port" && return
    free_port "$name" "$port"
    java=$(kafka_java)
    settings=$state/run/$name.properties
    mkdir -p "$state/run"
    "$here/certificates.sh"
    { kafka_settings "$name" "$port"; "$listeners" "$port"; } >"$settings"
    if [[ ! -f $state/data/$name/meta.properties ]]; then
        if [[ $listeners == secure_listeners ]]; then
            for user in admin afterbay limited; do
                for mechanism in SCRAM-SHA-512 SCRAM-SHA-256; do
                    users+=(--add-scram "$mechanism=[name=$user,password=$user-secret]")
                done
            done
        fi
        "$java" -Xmx128m -XX:TieredStopAtLevel=1 "-Dlog4j2.configurationFile=$here/log4j2.yaml" -cp "$state/kafka/*" \
            kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qk -c "$settings" "${users[@]}" >/dev/null
    fi
    spawn "$name" "$java" -Xms256m -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
        "-Dlog4j2.configurationFile=$here/log4j2.yaml" -cp "$state/kafka/*" kafka.Kafka "$settings"
    await "$name" 60 grep -q 'Transition from STARTING to STARTED\|Kafka Server started' "$state/log/$name.log"
    await "$name" 30 listens "$port"
}
