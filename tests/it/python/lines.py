"""Validates lines of NDJSON by a JSON schema, and prints for each why it is refused, or null.

    lines.py < JOBS

JOBS is a list of schemas, each with its lines.
"""

import json
import sys

from jsonschema import Draft202012Validator, FormatChecker

told = []
for schema, lines in json.load(sys.stdin):
    Draft202012Validator.check_schema(schema)
    checker = Draft202012Validator(schema, format_checker=FormatChecker())
    errors = [next(checker.iter_errors(json.loads(line)), None) for line in lines]
    told.append([error and error.message for error in errors])
print(json.dumps(told))
