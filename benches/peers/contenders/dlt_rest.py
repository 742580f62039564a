"""dlt: its rest_api source with an offset paginator, to Parquet files in a folder.

The meetings are a resource, their records one that depends on it, as its documentation has it;
two workers normalise, since there are two cores.
"""

import os

import dlt
from dlt.sources.rest_api import rest_api_resources

import task


def main() -> None:
    given = task.given()
    os.environ |= {
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "CRITICAL",
        "NORMALIZE__WORKERS": "2",
        "DESTINATION__FILESYSTEM__BUCKET_URL": (given.out / "lake").absolute().as_uri(),
    }
    # Each a list of its own, or one thread would ask for all of them.
    lists = [[{"conf_uuid": meeting}] for meeting in given.meetings]
    meetings = dlt.resource(lists, name="meetings", selected=False)
    page = {
        "path": task.PATH.removeprefix("/"),
        "params": {"confUUID": "{resources.meetings.conf_uuid}"},
        "data_selector": "data",
        "paginator": {
            "type": "offset",
            "limit": task.PAGE,
            "offset": 0,
            "total_path": "count",
        },
    }
    resources = rest_api_resources(
        {
            "client": {"base_url": given.base_url, "headers": given.headers},
            "resources": [
                meetings,
                {
                    "name": "records",
                    "endpoint": page,
                    "include_from_parent": ["conf_uuid"],
                    # A single meeting would be held in memory as a whole.
                    "parallelized": len(given.meetings) > 1,
                },
            ],
        }
    )
    pipeline = dlt.pipeline(
        "peers",
        pipelines_dir=str(given.out / "pipelines"),
        destination="filesystem",
        dataset_name="attendance",
    )
    pipeline.run(resources, loader_file_format="parquet", write_disposition="replace")


if __name__ == "__main__":
    main()
