"""Parses OpenMetrics text from the standard input with the parser of prometheus_client, which refuses what the
specification does not allow. Prints a line for each sample: name, endpoint, uri, le and value, separated by tabs."""

import sys

from prometheus_client.openmetrics.parser import text_fd_to_metric_families

for family in text_fd_to_metric_families(sys.stdin):
    for sample in family.samples:
        labels = dict(sample.labels)
        shown = [labels.pop(name, "") for name in ("endpoint", "uri", "le")]
        if labels:
            sys.exit(f"unexpected labels: {labels}")
        print(sample.name, *shown, sample.value, sep="\t")
