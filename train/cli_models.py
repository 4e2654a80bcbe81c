"""`in21k-train models`: the architectures of the paper."""

import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def models(as_json: bool) -> None:
    """List the architectures of the paper, which --model takes by these names beside timm's.

    Parameters and multiply-adds are those with 1,000 classes at 224 pixels. Speed (images a second in training) and
    batch size are the authors', on one V100.
    """
    from in21k.train.model_cost import architecture_rows

    rows = architecture_rows()
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    lines = [("name", "timm", "parameters", "multiply-adds", "V100 images/s", "V100 batch")]
    for row in rows:
        sizes = (f"{row['parameters'] / 1e6:.1f} M", f"{row['macs'] / 1e6:,.0f} M")
        lines.append((row["name"], row["timm"], *sizes, str(row["v100_train_speed"]), str(row["v100_batch_size"])))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        names = [cell.ljust(width) for cell, width in zip(line[:2], widths[:2], strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(line[2:], widths[2:], strict=True)]
        click.echo("  ".join([*names, *numbers]))
