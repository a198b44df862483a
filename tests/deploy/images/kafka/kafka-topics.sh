#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2086 # several options
exec java ${KAFKA_HEAP_OPTS:-} -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile=/etc/kafka/docker/log4j2.xml \
    -cp '/opt/kafka/libs/*' org.apache.kafka.tools.TopicCommand "$@"
