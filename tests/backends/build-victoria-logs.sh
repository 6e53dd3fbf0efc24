#!/usr/bin/env bash
# Builds VictoriaLogs and prints where it is; it takes Loki's push protocol at /insert/loki. About a minute on two cores, once.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
build victoria-logs github.com/VictoriaMetrics/VictoriaLogs v1.52.1 github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs
