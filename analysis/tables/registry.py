"""The tables of the report.

A new one is a function in a file of this package, with two decorators::

    @TABLES.register("my_table")
    @report_entry("classes", place=30)
    def my_table(data: ReportData) -> Table: ...

Another distribution uses ``report_entry`` alone and publishes the result in the entry-point group
``scenario_sweep.tables``.
"""

from __future__ import annotations

from analysis.formats.table import Table
from analysis.registry.report_entry import ReportEntry
from analysis.stats.report_data import ReportData
from trainables.registry import Registry

TableEntry = ReportEntry[ReportData, Table | None]
"""Makes a table, or None where the study has no use for it."""
TABLES: Registry[TableEntry] = Registry("table", "tables", "analysis.tables")
