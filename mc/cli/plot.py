"""``tnqbm plot``: figures of one archive or several."""

from __future__ import annotations

import click

from mc.cli import options
from mc.cli.common import PATH, echo, parse_pairs, print_json
from mc.cli.group_facts import doubt_lines, doubted
from tnqbm import figures
from tnqbm.archive import Archive
from tnqbm.archive.summaries import default_metric

KINDS = (
    "learning",
    "tvd",
    "min-hidden",
    "gradients",
    "likelihood",
    "bias",
    "families",
    "min-parameters",
)
METRICS = ("tvd", "kl", "nll", "gradient_norm", "test_nll", "valid_nll")
WITH_METRIC = ("learning", "tvd", "gradients", "families")


@click.command()
@options.archives
@click.option("--kind", type=click.Choice(KINDS), required=True, help="Which figure; see above.")
@click.option("-o", "--output", "out", type=PATH, required=True, metavar="FIGURE.png|.pdf|.svg")
@options.overwrite()
@options.where
@click.option(
    "--metric",
    type=click.Choice(METRICS),
    help="What to draw (learning, tvd, gradients, families).  [default: tvd; if all data are "
    "samples, test_nll, or nll without test data]",
)
@options.threshold(
    "TVD of the reference line (tvd, gradients, families) or to be reached (min-hidden, "
    "min-parameters)."
)
@click.option(
    "--band",
    type=click.Choice(["std", "bootstrap"]),
    help="Bands of gradients: one std, or 95 % intervals of the mean.  [default: std]",
)
@options.as_json
def plot(
    archives: tuple[str, ...],
    kind: str,
    out: str,
    overwrite: bool,
    where: tuple[str, ...],
    metric: str | None,
    threshold: float,
    band: str | None,
    as_json: bool,
) -> None:
    """Draw a figure of an archive as PNG, PDF or SVG.

    \b
    learning     a metric against the number of updates
    tvd          final total variation distance (or --metric) against m (the paper's Figure 2)
    min-hidden   least m below a TVD against n, and the ratios (the paper's Figure 3); for one n
                 and several gradients, against the gradient
    gradients    final distance against m, a line per gradient
    likelihood   log-likelihood of held-out and training data: while training, and final
    families     final distance against the number of parameters, a line per family of models
    min-parameters  units and parameters that models need less than the sqRBMs they extend
    bias         bias and noise of gradients while training, of runs with bias_reference

    Lines are means over seeds, bands one standard deviation. Several gradients get a row of panels
    each (learning, tvd); --where gradient=exact,pcd-10 takes some. Works while the study is
    running.

    \b
    Examples:
      tnqbm plot results.h5 --kind tvd -o figure2.pdf
      tnqbm plot results.h5 --kind learning --where data=bas,hidden=2,4 -o learning.png
      tnqbm plot results.h5 --kind gradients --metric kl --band bootstrap -o gradients.pdf
    """
    if metric is not None and kind not in WITH_METRIC:
        about = {"min-hidden": "the TVD", "min-parameters": "the TVD", "bias": "gradients"}.get(
            kind, "the log-likelihood"
        )
        raise click.UsageError(f"--kind {kind} is about {about}; leave --metric away")
    if band is not None and kind != "gradients":
        raise click.UsageError("--band is about --kind gradients")
    figures.check_figure_path(out, overwrite=overwrite, inputs=archives)
    sources, chosen = [Archive(path) for path in archives], parse_pairs(where)
    metric = metric or default_metric(sources, where=chosen)
    if kind == "learning":
        figure, _ = figures.learning_curves(sources, metric, where=chosen)
    elif kind == "tvd":
        figure, _ = figures.tvd_vs_hidden(sources, metric, where=chosen, threshold=threshold)
    elif kind == "gradients":
        figure, _ = figures.gradients(
            sources, metric, where=chosen, band=band or "std", threshold=threshold
        )
    elif kind == "families":
        figure, _ = figures.families(sources, metric, where=chosen, threshold=threshold)
    elif kind == "likelihood":
        figure, _ = figures.likelihood(sources, where=chosen)
    elif kind == "bias":
        figure, _ = figures.gradient_bias(sources, where=chosen)
    elif kind == "min-parameters":
        figure, _ = figures.savings(sources, threshold, where=chosen)
    else:
        figure, _ = figures.minimum_hidden(sources, threshold, where=chosen)
    path = figures.save_figure(figure, out, overwrite=overwrite)
    doubts = [doubt for source in sources for doubt in doubted(source, chosen)]
    if as_json:
        print_json({"figure": str(path), "kind": kind, "log_z_untrusted": len(doubts)})
        return
    echo(f"figure written: {path}")
    for line in doubt_lines(doubts):
        echo(line)
