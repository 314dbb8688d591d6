#!/bin/sh
# Every command of Kafka's under the name that operators know: a link kafka-<x>.sh to this file runs the class that
# kafka-commands.txt gives for that name. A server stays in the foreground and is this very process.
set -eu

here=$(dirname "$(readlink -f "$0")")
command=${0##*/}
class=$(awk -v command="$command" '$1 == command { print $2 }' "$here/kafka-commands.txt")
[ -n "$class" ] || { echo "$command: not one of the commands in $here/kafka-commands.txt" >&2; exit 2; }

# shellcheck disable=SC2086 # lists of options
exec "${JAVA_HOME:+$JAVA_HOME/bin/}java" ${KAFKA_HEAP_OPTS:--Xmx512m} ${KAFKA_JVM_PERFORMANCE_OPTS:-} \
    ${KAFKA_LOG4J_OPTS:-} ${KAFKA_OPTS:-} -cp "${here%/*}/libs/*" "$class" "$@"
