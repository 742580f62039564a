"""Checks a recipe by what reads it, and prints what it says as JSON.

    recipes.py cronjob|dag|dockerfile FILE
"""

import io
import json
import sys
import types

import dockerfile_parse
import kubernetes_validate
import yaml


def cronjob(text: str) -> object:
    document = yaml.safe_load(text)
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    return document


def dag(text: str) -> object:
    """The arguments of its one task, as Airflow would have them."""
    tasks = []

    class DAG:
        def __init__(self, dag_id, **settings):
            assert settings["catchup"] is False and settings["max_active_runs"] == 1

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    for name in ["airflow", "airflow.providers", "airflow.providers.standard",
                 "airflow.providers.standard.operators", "airflow.providers.standard.operators.bash"]:
        sys.modules[name] = types.ModuleType(name)
    sys.modules["airflow"].DAG = DAG
    bash = sys.modules["airflow.providers.standard.operators.bash"]
    bash.BashOperator = lambda **task: tasks.append(task)
    exec(compile(text, "dag.py", "exec"), {})
    [task] = tasks
    task["retry_delay"] = task["retry_delay"].total_seconds()
    return task


def dockerfile(text: str) -> object:
    parser = dockerfile_parse.DockerfileParser(fileobj=io.BytesIO(text.encode()))
    steps = [step for step in parser.structure if step["instruction"] != "COMMENT"]
    return [[step["instruction"], step["value"]] for step in steps]


with open(sys.argv[2], encoding="utf-8") as file:
    print(json.dumps({"cronjob": cronjob, "dag": dag, "dockerfile": dockerfile}[sys.argv[1]](file.read())))
