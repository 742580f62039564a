"""How many rows other readers find in a bucket, as JSON.

    read_bucket.py ENDPOINT FOLDER
"""

import json
import sys

import polars
import pyarrow.dataset
import pyarrow.fs

endpoint, folder = sys.argv[1:]
key, secret = "test", "test-secret"
files = pyarrow.fs.S3FileSystem(
    access_key=key,
    secret_key=secret,
    endpoint_override=endpoint.removeprefix("http://"),
    scheme="http",
    region="us-east-1",
)
# Names that begin with an underscore are none of a reader's business.
rows = pyarrow.dataset.dataset(folder, filesystem=files, format="parquet").count_rows()
options = {
    "aws_endpoint_url": endpoint,
    "aws_access_key_id": key,
    "aws_secret_access_key": secret,
    "aws_region": "us-east-1",
    "aws_allow_http": "true",
}
frame = polars.scan_parquet(f"s3://{folder}/part-*.parquet", storage_options=options)
found = {"polars": frame.select(polars.len()).collect().item(), "pyarrow": rows}
print(json.dumps(found))
