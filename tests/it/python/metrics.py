"""Reads a text file of Prometheus and prints its samples as JSON: name, labels, value."""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

samples = []
with open(sys.argv[1], encoding="utf-8") as file:
    for family in text_string_to_metric_families(file.read()):
        assert family.type == "gauge", family
        assert family.documentation.endswith("."), family
        for sample in family.samples:
            samples.append([sample.name, sample.labels, sample.value])
print(json.dumps(samples))
