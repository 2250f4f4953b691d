"""``tnqbm plot``: figures of one archive or several."""

from __future__ import annotations

import click

from mc.cli_common import PATH, parse_pairs, print_json

KINDS = ("learning", "tvd", "min-hidden")


@click.command()
@click.argument("archives", type=PATH, nargs=-1, required=True, metavar="OUT.h5 ...")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="Which figure; see above.")
@click.option("-o", "--output", "out", type=PATH, required=True, metavar="FIGURE.png|.pdf|.svg")
@click.option("--overwrite", is_flag=True, help="Replace the figure if it exists.")
@click.option("--where", multiple=True, metavar="KEY=VALUE", help="Only these runs. Repeatable.")
@click.option(
    "--metric",
    type=click.Choice(["tvd", "kl", "nll", "gradient_norm", "test_nll"]),
    default="tvd",
    show_default=True,
    help="What to draw (learning, tvd).",
)
@click.option(
    "--threshold",
    type=float,
    default=0.2,
    show_default=True,
    help="TVD of the reference line (tvd) or to be reached (min-hidden).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def plot(
    archives: tuple[str, ...],
    kind: str,
    out: str,
    overwrite: bool,
    where: tuple[str, ...],
    metric: str,
    threshold: float,
    as_json: bool,
) -> None:
    """Draw a figure of an archive as PNG, PDF or SVG.

    \b
    learning     a metric against the number of updates
    tvd          final total variation distance against m (the paper's Figure 2)
    min-hidden   least m below a TVD against n, and the ratios (the paper's Figure 3)

    Lines are means over seeds, bands one standard deviation. Works while the study is running.

    \b
    Examples:
      tnqbm plot results.h5 --kind tvd -o figure2.pdf
      tnqbm plot results.h5 --kind learning --where data=bas,hidden=2,4 -o learning.png
    """
    from tnqbm import figures
    from tnqbm.archive import Archive

    if kind == "min-hidden" and metric != "tvd":
        raise click.UsageError("--kind min-hidden is about the TVD; leave --metric away")
    figures.check_figure_path(out, overwrite=overwrite)
    sources, select = [Archive(path) for path in archives], parse_pairs(where)
    if kind == "learning":
        figure, _ = figures.learning_curves(sources, metric, select=select)
    elif kind == "tvd":
        figure, _ = figures.tvd_vs_hidden(sources, metric, select=select, threshold=threshold)
    else:
        figure, _ = figures.minimum_hidden(sources, threshold, select=select)
    path = figures.save_figure(figure, out, overwrite=overwrite)
    if as_json:
        print_json({"figure": str(path), "kind": kind})
    else:
        click.echo(f"figure written: {path}")
