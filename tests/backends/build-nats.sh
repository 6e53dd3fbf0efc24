#!/usr/bin/env bash
# Builds the NATS server and prints where it is. About a minute on two cores, once.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
build nats github.com/nats-io/nats-server/v2 v2.15.3 github.com/nats-io/nats-server/v2
