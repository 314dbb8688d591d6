"""What spark-submit runs: the consumer, put together from `market_pulse_stream`."""

from market_pulse_stream.driver import main

if __name__ == "__main__":
    main()
