SET LOCAL ROLE market_pulse_owner;
