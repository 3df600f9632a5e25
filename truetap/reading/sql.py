"""SQL over the tables of a run: DuckDB in memory, one view for each table, nothing else in reach.

Committed Arrow batches are given to DuckDB as they are mapped, without a copy (half-precision columns
are copied to floats, which is what DuckDB reads them as in Parquet); Parquet parts are read by DuckDB
itself, only the columns and row groups that a query needs. The connection can read files of the run
and no others, and takes no statement but queries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from truetap.errors import StoreError
from truetap.reading.names import Names
from truetap.reading.reach import confine
from truetap.reading.tables import Tables

__all__ = ["Database"]

_READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
_FIRST_WORDS = ("pivot", "unpivot", "from", "with", "select")  # of the statements that DuckDB makes several of


class Database:
    """A connection to one moment of a run. Views are made when a query speaks of their tables.

    Args:
        tables: The run.
        names: Names given to samples after the fact, or None.
    """

    def __init__(self, tables: Tables, names: Names | None) -> None:
        self._tables = tables
        self._names = names
        self._made: set[str] = set()
        self._connection = duckdb.connect(":memory:")
        self._named_for_duckdb = confine(self._connection, tables.reader)

    def query(self, query: str, parameters: Mapping[str, Any]) -> duckdb.DuckDBPyRelation:
        """A relation; it is computed when its rows are asked for.

        Raises:
            StoreError: It is no query, or DuckDB can't make sense of it.
        """
        try:
            statements = self._connection.extract_statements(query)
            _check_reading(query, statements)
            self._make(query)
            return self._connection.sql(query, params=dict(parameters) or None)
        except duckdb.Error as error:
            raise StoreError(
                f"DuckDB can't run the query: {error}\nTables of this run: {', '.join(map(_shown, self._listed()))}."
            ) from error

    def _listed(self) -> list[str]:
        listed = [table for table in self._tables.reader.tables if table != "names"]
        return [*listed, "names"] if self._names is not None else listed

    def _make(self, query: str) -> None:
        """Makes the views of the tables whose names stand in the query; of all when there is none."""
        text = query.lower()
        listed = self._listed()
        for table in [name for name in listed if name.lower() in text] or listed:
            if table not in self._made:
                self._make_view(table)
                self._made.add(table)

    def _make_names(self) -> None:
        if self._names is not None and "names" not in self._made:
            self._made.add("names")
            self._connection.from_arrow(self._names.to_arrow()).create_view("names")

    def _make_view(self, table: str) -> None:
        if table == "names":
            self._make_names()
            return
        parts, fields = self._parts(table)
        whole = None
        for part in parts:
            known = dict(zip(part.columns, part.types, strict=True))
            selected = part.project(", ".join(_chosen(name, kind, known.get(name)) for name, kind in fields.items()))
            whole = selected if whole is None else whole.union(selected)
        if whole is None:  # announced, and not a row is committed yet
            whole = self._connection.sql("select null::varchar as phase, null::integer as epoch where false")
        if self._names is not None and {"sample_id", "fingerprint"} <= fields.keys():
            whole = self._named(whole, fields)
        whole.create_view(table)

    def _parts(self, table: str) -> tuple[list[duckdb.DuckDBPyRelation], dict[str, str]]:
        """The places where rows of a table are, and its columns with their types."""
        paths, batches = self._tables.reader.parquet_and_arrow(table)
        parts = [self._connection.from_arrow(part) for part in arrow_tables(batches)]
        if not paths:
            return parts, _fields(parts)
        # Parquet has no arrays of fixed length: what the columns were when they were written, the schemas say.
        schemas = self._tables.batches(table).schemas()
        as_written = [self._connection.from_arrow(_stored(schema).empty_table()) for schema in schemas]
        return [self._parquet(paths), *parts], _fields(as_written)

    def _parquet(self, paths: Sequence[str]) -> duckdb.DuckDBPyRelation:
        listed = ", ".join(map(_text, self._named_for_duckdb(paths)))
        hive = "hive_types = {'phase': VARCHAR, 'epoch': INTEGER}, " if "/phase=" in paths[0] else ""
        return self._connection.sql(
            f"select * from read_parquet([{listed}], {hive}hive_partitioning = {bool(hive)}, union_by_name = true)"
        )

    def _named(self, whole: duckdb.DuckDBPyRelation, fields: Mapping[str, str]) -> duckdb.DuckDBPyRelation:
        """The rows under their names; among identical inputs the names are given out in order."""
        assert self._names is not None
        self._make_names()
        text = fields["sample_id"] == "VARCHAR" or self._names.ids.dtype.kind != "i"
        own = "'fingerprint:' || r.sample_id" if fields["sample_id"] != "VARCHAR" and text else "r.sample_id"
        named = f"r.* replace (coalesce(n.sample_id{'::VARCHAR' if text else ''}, {own}) as sample_id)"
        join = "left join names n on n.fingerprint = r.fingerprint"
        if not len(self._names.twins):
            return whole.query("r", f"select {named} from r {join}")
        group = ", ".join(name for name in ("phase", "epoch", "fingerprint") if name in fields)
        order = ", ".join(name for name in ("step", "position") if name in fields) or "1"
        return whole.query(
            "r",
            f"""with twins as (select distinct fingerprint from names where twins > 1)
            select {named} from r {join} and n.twins = 1 where r.fingerprint not in (from twins)
            union all by name
            select {named.replace("r.*", "r.* exclude (twin)")}
            from (select *, row_number() over (partition by {group} order by {order}) - 1 as twin from r
                  where fingerprint in (from twins)) r
            {join} and n.twin = r.twin % n.twins""",
        )


def arrow_tables(batches: Iterable[pa.RecordBatch]) -> list[pa.Table]:
    """Batches as tables of one schema each, in a form that DuckDB reads."""
    by_schema: dict[pa.Schema, list[pa.RecordBatch]] = {}
    for batch in batches:
        by_schema.setdefault(batch.schema, []).append(batch)
    return [_readable(pa.Table.from_batches(same)) for same in by_schema.values()]


def _readable(table: pa.Table) -> pa.Table:
    """The table with float32 in the place of float16, which DuckDB takes from no Arrow column."""
    for place, field in enumerate(table.schema):
        if (wider := _wider(field.type)) != field.type:
            storage = [_storage(chunk).cast(wider) for chunk in table.column(place).chunks]
            table = table.set_column(place, field.name, pa.chunked_array(storage, wider))
    return table


def _stored(schema: pa.Schema) -> pa.Schema:
    """The schema as DuckDB sees it: what lies beneath extension types."""
    kinds = [_wider(field.type) for field in schema]
    plain = [kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind for kind in kinds]
    return pa.schema(list(zip(schema.names, plain, strict=True)))


def _storage(chunk: pa.Array) -> pa.Array:
    return chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk


def _wider(kind: pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.BaseExtensionType):
        storage = kind.storage_type
        return kind if _wider(storage) == storage else _wider(storage)
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_wider(kind.value_type), kind.list_size)
    if pa.types.is_list(kind):
        return pa.list_(_wider(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(part.name, _wider(part.type)) for part in kind])
    return kind


def _fields(parts: Sequence[duckdb.DuckDBPyRelation]) -> dict[str, str]:
    """The columns of all parts with one type each."""
    fields: dict[str, set[str]] = {}
    for part in parts:
        for name, kind in zip(part.columns, part.types, strict=True):
            fields.setdefault(name, set()).add(str(kind))
    return {name: _common(kinds) for name, kinds in fields.items()}


def _common(kinds: set[str]) -> str:
    """The type to which values of several are cast: of tensors whose shape changes, a list."""
    if len(kinds) == 1:
        return next(iter(kinds))
    values = {kind.split("[")[0] for kind in kinds}
    if all("[" in kind for kind in kinds) and len(values) == 1:
        return f"{values.pop()}[]"
    for wide in ("VARCHAR", "DOUBLE", "FLOAT", "BIGINT", "INTEGER"):
        if wide in kinds:
            return wide
    return "VARCHAR"


def _check_reading(query: str, statements: Sequence[duckdb.Statement]) -> None:
    words = query.split()
    several = len(statements) == 1 and bool(words) and words[0].lower() in _FIRST_WORDS
    if len(statements) == 1 and (statements[0].type in _READING or several):
        return
    found = ", ".join(str(statement.type).rpartition(".")[2] for statement in statements) or "nothing"
    raise StoreError(
        f"A run is read by one query at a time. Received: {found}. Expected: one select; what it returns can be "
        "written anywhere by its own methods, such as .arrow() or .df()."
    )


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _chosen(name: str, kind: str, known: Any) -> str:
    """A column as a part has it; a cast only where it is needed, since filters stop at one."""
    if str(known) == kind:
        return _name(name)
    return f"{'null' if known is None else _name(name)}::{kind} as {_name(name)}"


def _shown(name: str) -> str:
    return name if name.isidentifier() else _name(name)


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
