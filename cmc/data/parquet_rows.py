"""Rows of Parquet files, a few at a time, however much is packed into them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cmc.errors import DataError

ROWS_AT_ONCE = 64
MAX_GROUP = 100_000_000  # bytes that a row group unpacks to
MAX_BATCH = 100_000_000  # bytes that the rows unpacked at once may take
OBJECT = 64  # bytes of a Python object, about


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file; lists of numbers, which hold no text, are left out.

    Raises:
        DataError: it cannot be read, or unpacks to more than memory should hold.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            columns, texts = _leaves(file.schema, file.schema_arrow)
            _refuse_bomb(file.metadata, path.name, set(columns))
        # Kept as a dictionary, a long text that stands in every row is held only once.
        with pyarrow.parquet.ParquetFile(path, read_dictionary=texts) as file:
            row = 0
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns):
                yield from _plain_rows(batch, row, path.name)
                row += len(batch)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            f"{path.name} is no Parquet file that can be read ({_first_line(error)})",
            hint="Write it again.",
        ) from None


def _plain_rows(batch: Any, before: int, name: str) -> Iterator[dict[str, Any]]:
    """Yield a batch as rows: one by one, where all together might fill the memory."""
    if sum(map(_weight, batch.columns)) <= MAX_BATCH:
        yield from batch.to_pylist()
        return
    for number in range(len(batch)):
        row = batch.slice(number, 1)
        for column, values in zip(row.schema.names, row.columns, strict=True):
            if _weight(values) > MAX_BATCH:
                raise DataError(
                    f'"{column}" in row {before + number + 1:,} of {name} may unpack to more '
                    f"than {MAX_BATCH // 10**6} MB",
                    hint="Shorten it or split the record.",
                )
        yield from row.to_pylist()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _leaves(schema: Any, arrow: Any) -> tuple[list[str], list[str]]:
    """Return the paths of the columns to read, and of those that hold text."""
    texts, columns = [], []
    for number in range(len(schema)):
        leaf = schema.column(number)
        is_text = leaf.physical_type == "BYTE_ARRAY"
        if is_text:
            texts.append(leaf.path)
        if is_text or "." not in leaf.path or leaf.path in arrow.names:
            columns.append(leaf.path)
    return columns, texts


def _refuse_bomb(metadata: Any, name: str, wanted: set[str]) -> None:
    """Refuse row groups that unpack to more than memory should hold."""
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        parts = [group.column(each) for each in range(group.num_columns)]
        parts = [each for each in parts if each.path_in_schema in wanted]
        # A value that is repeated takes no room in the file, and some in memory.
        size = max(sum(each.total_uncompressed_size for each in parts),
                   4 * max((each.num_values for each in parts), default=0))  # fmt: skip
        if size > MAX_GROUP:
            raise DataError(
                f"row group {number + 1:,} of {name} unpacks to more than {MAX_GROUP // 10**6} MB",
                hint="Write the file again with smaller row groups.",
            )


def _weight(values: Any) -> int:
    """Return about how many bytes an array may take as Python objects, at most."""
    import pyarrow
    import pyarrow.compute

    types, kind = pyarrow.types, values.type
    own = OBJECT * len(values)
    if types.is_struct(kind):
        return own + sum(map(_weight, values.flatten()))
    if types.is_list(kind) or types.is_large_list(kind):
        return own + _weight(values.flatten())
    if types.is_dictionary(kind):
        lengths = pyarrow.compute.binary_length(values.dictionary)
        return own + len(values) * (pyarrow.compute.max(lengths).as_py() or 0)
    return own + values.nbytes
