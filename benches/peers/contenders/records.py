"""Records into one Parquet file with pyarrow, in batches, as the hand-written scripts do it."""

import pathlib

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

TEXT, NUMBER, UTC = pa.string(), pa.int64(), pa.timestamp("ms", tz="UTC")
# The members by the API's names, and what their columns are called.
MEMBERS = {
    "displayName": ("display_name", TEXT),
    "callNumber": ("call_number", TEXT),
    "deviceType": ("device_type", TEXT),
    "mediaType": ("media_type", TEXT),
    "deptName": ("dept_name", TEXT),
    "joinTime": ("join_time", NUMBER),
    "leftTime": ("left_time", NUMBER),
}
RECORD = pa.struct([(member, kind) for member, (_, kind) in MEMBERS.items()])
SCHEMA = pa.schema(
    [
        pa.field("conf_uuid", TEXT, nullable=False),
        *((name, UTC if kind == NUMBER else kind) for name, kind in MEMBERS.values()),
        ("duration_ms", NUMBER),
    ]
)
# Where a dictionary saves more than it costs.
REPEATED = ["conf_uuid", "device_type", "media_type", "dept_name"]
ENOUGH = 1 << 16


class Batch:
    """Pages on their way into a table."""

    def __init__(self) -> None:
        self._pages: list[pa.StructArray] = []
        self._meetings: list[pa.StringArray] = []
        self._rows = 0

    @property
    def is_full(self) -> bool:
        return self._rows >= ENOUGH

    def add(self, meeting: str, records: list[dict]) -> None:
        """Takes the records of a page, as the API names their members.

        Page by page, while its objects are still in the processor's caches: fewer and larger
        arrays take half as long again.
        """
        self._pages.append(pa.array(records, RECORD))
        self._meetings.append(pa.repeat(meeting, len(records)))
        self._rows += len(records)

    def table(self) -> pa.Table:
        pages = self._pages or [pa.array([], RECORD)]
        *texts, joined, left = pa.concat_arrays(pages).flatten()
        meetings = pa.chunked_array(self._meetings, TEXT).combine_chunks()
        times = [joined.cast(UTC), left.cast(UTC), pc.subtract(left, joined)]
        return pa.table([meetings, *texts, *times], schema=SCHEMA)


def writer(folder: pathlib.Path) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        folder / "records.parquet",
        SCHEMA,
        compression="zstd",
        compression_level=1,
        use_dictionary=REPEATED,
        write_statistics=False,
    )
