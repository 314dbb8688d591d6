"""Reads a folder of TMDL by Microsoft's own parser and prints, as JSON, what it understood.

Run by the interpreter of the folder that `install.sh` makes, for these libraries are no part of the project.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"{package} is not installed: run install.sh")
    return Path(next(iter(spec.submodule_search_locations)))


def _load_dotnet() -> None:
    from clr_loader import get_coreclr  # noqa: PLC0415
    from clr_loader.util.find import find_runtimes_in_root  # noqa: PLC0415
    from pythonnet import load  # noqa: PLC0415

    # Not whichever .NET this machine may have; and no ICU, which it may not have.
    os.environ["DOTNET_SYSTEM_GLOBALIZATION_INVARIANT"] = "1"
    root = next(_folder("dnv").rglob("libhostfxr.so")).parents[3]
    core = next(spec for spec in find_runtimes_in_root(root) if spec.name == "Microsoft.NETCore.App")
    load(get_coreclr(dotnet_root=root, runtime_spec=core))
    import clr  # noqa: PLC0415

    libraries = _folder("sempy") / "lib"
    for name in ("Core", "Tabular", "Tabular.Json"):
        clr.AddReference(str(libraries / f"Microsoft.AnalysisServices.{name}.dll"))


def main(folder: str) -> None:
    """Print the model in a folder; end with its first error, which names file and line."""
    _load_dotnet()
    from Microsoft.AnalysisServices.Tabular import TmdlSerializer  # noqa: PLC0415

    try:
        model = TmdlSerializer.DeserializeDatabaseFromFolder(folder).Model
    except Exception as error:  # noqa: BLE001 - .NET's exceptions have no common class in Python
        sys.exit(str(error))
    json.dump(
        {
            "errors": [str(error.Message) for error in model.Validate().Errors],
            "expressions": {one.Name: one.Expression for one in model.Expressions},
            "relationships": [
                [one.FromTable.Name, one.FromColumn.Name, one.ToTable.Name, one.ToColumn.Name]
                for one in model.Relationships
            ],
            "tables": {
                table.Name: {
                    "columns": {
                        one.Name: [str(one.DataType), one.SourceColumn, one.Description]
                        for one in table.Columns
                        if str(one.Type) == "Data"
                    },
                    "measures": {one.Name: one.Expression for one in table.Measures},
                    "partitions": [[str(one.Mode), one.Source.Expression] for one in table.Partitions],
                }
                for table in model.Tables
            },
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main(sys.argv[1])
