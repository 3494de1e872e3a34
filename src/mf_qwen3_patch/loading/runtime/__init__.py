"""MindSpore and MindFormers in this process: context, network, Parameters, dtypes, log."""
