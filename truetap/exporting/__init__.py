"""`run.export(path, format)`: a run's values for the tools that people have.

`export` finds out what is meant and hands it to the writer of the format: `parquet_files`, `csv_files` and
`numpy_files` give the tables away as they are; `tensorboard`, `mlflow` and `wandb` put what their tools can show into
them, by `series`, `distributions` and `ranked`. A writer's package is imported when it is asked for.
"""

from truetap.exporting.export import FORMATS, export

__all__ = ["FORMATS", "export"]
