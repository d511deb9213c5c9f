"""What is printed: figures on standard output, progress on standard error."""

import sys


def progress(text):
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def print_head(figures):
    load = figures["load_average"][0]
    print(f"{figures['versions']['benchfs']}, {figures['ranks']} rank(s), on {figures['device']} "
          f"({figures['file_system']}); {figures['cores']} cores, Linux {figures['kernel']}, "
          f"load {load:.2f}, {figures['pairs']} pairs")
    if not figures["valid"]:
        print(f"INVALID: the load average at the start was {load:.2f}, above "
              f"{figures['load_max']:.0f}: these ratios prove nothing")
    sys.stdout.flush()


def verdict(reached):
    return "yes" if reached else "NO"


def print_table(figures):
    progress("")
    if figures["results"]:
        print(f"\n{'':26}{'plain':>12} {'BenchFS':>12} {'':6}{'ratio':>6} {'min':>6} {'max':>6} "
              f"{'goal':>6} reached")
    for row in figures["results"]:
        print(f"{row['name']:26}{row['median_plain']:>12,.0f} {row['median_benchfs']:>12,.0f} "
              f"{row['unit']:6}{row['median_ratio']:>6.2f} {min(row['ratios']):>6.2f} "
              f"{max(row['ratios']):>6.2f} {row['goal']:>6.2f} "
              f"{verdict(row['median_ratio'] >= row['goal'])}")
    idle = figures.get("idle")
    if idle:
        print(f"\nidle, {idle['clients']} clients, {idle['seconds']:.0f} s: "
              f"{idle['cpu_percent']:.3f} % CPU, {idle['switches_per_second']:.1f} context switches "
              f"a second, {idle['rss_mib']:.1f} MiB resident in the largest of {idle['servers']} "
              "processes; reached (0.0 %, "
              f"< {idle['goal_rss_mib']} MiB): "
              + verdict(idle["cpu_percent"] < idle["goal_cpu_percent"] and
                        idle["rss_mib"] < idle["goal_rss_mib"]))
    start = figures.get("start")
    if start:
        print(f"start: {start['median_beyond']:.3f} s until ready beyond 'mpirun true'; reached "
              f"(<= {start['goal']} s): {verdict(start['median_beyond'] <= start['goal'])}")
    if not figures["valid"]:
        print("INVALID: see above")
