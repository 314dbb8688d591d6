"""Is a unit making progress, and what is it doing? Facts in, a verdict with a sentence out; nothing here looks.

A healthy unit may be idle or degraded: a closed market, a used-up quota and a broker that is away are no fault of the
unit that waits for them, and restarting it would mend nothing. Unhealthy is what a restart may mend.
Ages and waits are seconds of the caller's monotonic clock, instants are aware.
"""

from market_pulse.health.pipeline import BATCH_SECONDS as BATCH_SECONDS
from market_pulse.health.pipeline import CONFIRMATION_SECONDS as CONFIRMATION_SECONDS
from market_pulse.health.pipeline import GRACE_SECONDS as GRACE_SECONDS
from market_pulse.health.pipeline import ConsumerFacts as ConsumerFacts
from market_pulse.health.pipeline import ConsumerProgress as ConsumerProgress
from market_pulse.health.pipeline import ProducerFacts as ProducerFacts
from market_pulse.health.pipeline import State as State
from market_pulse.health.pipeline import consumer as consumer
from market_pulse.health.pipeline import producer as producer
from market_pulse.health.pipeline import producer_state as producer_state
from market_pulse.health.servers import BrokerFacts as BrokerFacts
from market_pulse.health.servers import ControllerFacts as ControllerFacts
from market_pulse.health.servers import MasterPage as MasterPage
from market_pulse.health.servers import MasterPageWorker as MasterPageWorker
from market_pulse.health.servers import Silence as Silence
from market_pulse.health.servers import WorkerPage as WorkerPage
from market_pulse.health.servers import broker as broker
from market_pulse.health.servers import controller as controller
from market_pulse.health.servers import pgadmin as pgadmin
from market_pulse.health.servers import spark_master as spark_master
from market_pulse.health.servers import spark_worker as spark_worker
from market_pulse.health.verdict import Verdict as Verdict
