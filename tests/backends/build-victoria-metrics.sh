#!/usr/bin/env bash
# Builds VictoriaMetrics (one node) and prints where it is. About a minute on two cores, once.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
build victoria-metrics github.com/VictoriaMetrics/VictoriaMetrics v1.151.0 github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics
