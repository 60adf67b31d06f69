"""The verbs clipmill manifest show, check and diff, and the code behind them."""
