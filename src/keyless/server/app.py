"""The composition root: one object from settings, two ASGI applications out of it (D19)."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from keyless.errors import ConfigurationError, UnavailableError
from keyless.http.guarded import GuardedFetcher
from keyless.oidc.issuer import Issuer
from keyless.oidc.jwks_cache import JwksCache
from keyless.resource import ResourceType
from keyless.server.doors.auth_check import AuthCheckDoor
from keyless.server.doors.client_address import ClientAddresses
from keyless.server.doors.documents import HealthDoor, JwksDoor, MetricsDoor, well_known
from keyless.server.doors.errors import ErrorProfile
from keyless.server.doors.explain import ExplainDoor
from keyless.server.doors.feed import FeedDoor
from keyless.server.doors.http import Door
from keyless.server.doors.introspect import IntrospectDoor
from keyless.server.doors.late import LateDoor
from keyless.server.doors.package import Lent, find_door, terms_of
from keyless.server.doors.resource_server import ResourceServerGate
from keyless.server.doors.resource_states import ResourceDoor, created, state_of
from keyless.server.doors.revoke import RevokeDoor
from keyless.server.doors.router import Router
from keyless.server.doors.token import TokenDoor
from keyless.server.front import Front
from keyless.server.metrics import Metrics, process_gauges
from keyless.server.mounted_hub import mount_hub
from keyless.server.services.checkpoint_key import load_checkpoint_key
from keyless.server.services.counting_fetcher import CountingFetcher
from keyless.server.services.exchange import ExchangeRates, ExchangeService
from keyless.server.services.explain import ExplainService
from keyless.server.services.forward_auth import ForwardAuth
from keyless.server.services.group_commit import GroupCommit
from keyless.server.services.housekeeping import Housekeeping, Job
from keyless.server.services.issuance import PublisherLimits
from keyless.server.services.issuer_keys import IssuerKeyWatch, OnReplaced
from keyless.server.services.key_rotation import KeyRotation
from keyless.server.services.keys import SigningKeys
from keyless.server.services.live import LiveTokens
from keyless.server.services.path_rules import load_path_rules
from keyless.server.services.putting_away import PuttingAway
from keyless.server.services.rate_limit import RateLimit
from keyless.server.services.sealer import Sealer, checkpoint_file
from keyless.server.services.trail import ExchangeTrail
from keyless.server.services.trusted_clock import TrustedClock
from keyless.server.services.verification import IdTokenVerification
from keyless.server.services.webhook import Webhook
from keyless.server.settings import Settings
from keyless.server.sign_in.provider import IdentityProvider
from keyless.server.store import open_store

if TYPE_CHECKING:
    from keyless.server.policy.directory import PolicyDirectory
    from keyless.server.store.admin import Administration
    from keyless.server.tracing import Tracing

SEAL_SECONDS = 5  # D15: at most ten between an event and the checkpoint that seals it
COUNT_SECONDS = 10  # what is not counted yet, every view of the first page counts for itself
LOG_SECONDS = 0.2  # at full load a thousand pages or two are written in it: milliseconds to copy
MAX_UNREMARKED_SKEW_SECONDS = 10  # a third of the leeway: beyond it, good tokens are soon refused (T53)

_log = logging.getLogger("keyless.server")


class TokenService:
    """Hold a running token service: store, keys, and the two applications.

    Args:
        settings: What the operator chose.
        inside_url: Where the inside listener is reached from this machine.
        clock: Unix seconds.
        monotonic: Seconds that never jump, for the age of issuers' keys.
        metrics: What to count in; shared by the workers of one machine.
        tracing: Where spans of exchanges go; as the settings say when `None`.
        on_keys_replaced: Told when an issuer's keys were swapped whole (T37), besides the log and the audit trail.

    Raises:
        ConfigurationError: A setting cannot work with what is on disk.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        inside_url: str,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        on_keys_replaced: OnReplaced | None = None,
        metrics: Metrics | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.settings = settings
        self.metrics = metrics or Metrics()
        self._clock = clock
        self._draining = False
        self._making = threading.Lock()
        self._policy: PolicyDirectory | None = None
        self._policy_problem: str | None = None
        self._administration: Administration | None = None
        self._provider = IdentityProvider.of(settings, GuardedFetcher(), clock=clock, monotonic=monotonic)
        self.store = open_store(settings.database, clock=clock)
        self.signing_keys = SigningKeys.open(self.store, settings)
        self.store.ensure_default_resource_server(settings.public_url, settings.token_profile)
        # Where time decides over a stranger's request, it is one that the database agrees with.
        self._trusted_clock = TrustedClock(
            clock,
            skew_seconds=lambda: self.store.clock_skew_seconds,
            max_skew_seconds=max(settings.leeway_seconds, MAX_UNREMARKED_SKEW_SECONDS),
        )
        self.store.measure_clock()
        self._commit = GroupCommit(
            self.store.commit, begin=self.store.begin_commit, batch_size=self.metrics.batches.observe
        )
        self._sealer, self._housekeeping = self._keep_house(clock)
        # Apart from the rest, for a webhook may take seconds and a busy log is long by then.
        self._log_keeping = Housekeeping([(1, self.store.checkpoint)], round_seconds=LOG_SECONDS)
        self._jwks = JwksCache(
            CountingFetcher(GuardedFetcher(), self.metrics.key_fetches),
            clock=monotonic,
            wall_clock=clock,
            on_keys=IssuerKeyWatch(self.store, on_replaced=on_keys_replaced),
            turns=self.store.key_turns,
            on_clock_skew=_warn_of_skew,
        )
        profile = ErrorProfile(settings.error_profile)
        self._verification = IdTokenVerification(
            audience=settings.public_url,
            issuers=self.store,
            keys=self._jwks,
            fixed_audiences=settings.fixed_audiences,
            leeway_seconds=settings.leeway_seconds,
            clock=self._trusted_clock,
        )
        trail = ExchangeTrail(self._commit, clock=self._trusted_clock)
        self._tracing = tracing or open_tracing(settings)
        self.exchange = exchange_service(self._tracing)(
            public_url=settings.public_url,
            store=self.store,
            verification=self._verification,
            trail=trail,
            signing_key=self.signing_keys.active,
            token_ttl_seconds=settings.token_ttl_seconds,
            limits=PublisherLimits(
                max_live_tokens=settings.max_live_tokens,
                revoke_oldest=settings.live_tokens_full == "revoke_oldest",
                max_grants_per_hour=settings.max_grants_per_hour,
            ),
            rates=ExchangeRates(
                _rate(settings.exchanges_per_minute_by_address, monotonic),
                _rate(settings.exchanges_per_minute_by_identity, monotonic),
            ),
            metrics=self.metrics,
            clock=self._trusted_clock,
        )
        self.live = LiveTokens(
            public_url=settings.public_url,
            prefixes=self.store.token_prefixes,
            keys=self.signing_keys.key_set,
            store=self.store,
            clock=clock,
        )
        rules = {} if settings.forward_auth is None else load_path_rules(settings.forward_auth)
        forward_auth = ForwardAuth(rules, self.live, self.store)
        roots, audiences = self._open_doors()
        explain = ExplainService(
            store=self.store,
            verification=self._verification,
            trail=trail,
            clock=self._trusted_clock,
            audiences=audiences,
        )
        checks = {
            "store": self.store.healthy,
            "writer": lambda: self._commit.healthy,
            "serving": lambda: not self._draining,
            "clock": self._trusted_clock.agrees,
        }
        mounted = mount_hub(settings, self.store, self.signing_keys, inside_url=inside_url)
        self._close_hub = mounted[1] if mounted else None
        addresses = ClientAddresses(settings.trusted_proxies)
        self.token_door = TokenDoor(
            self.exchange,
            public_url=settings.public_url,
            profile=profile,
            addresses=addresses,
            metrics=self.metrics,
            traced=self._tracing is not None,
        )
        path = urlsplit(settings.public_url).path
        self.public_front = Front(self.token_door, f"{path}/oauth/token")
        self.public = Router(
            {
                "/oauth/token": {"POST": self.token_door},
                "/oauth/explain": {"POST": ExplainDoor(explain, public_url=settings.public_url, profile=profile)},
                "/oauth/revoke": {"POST": RevokeDoor(self.live, vain=_rate(600, monotonic), profile=profile)},
                "/oauth/jwks": {"GET": JwksDoor(self.signing_keys.jwks)},
                "/healthz": {"GET": HealthDoor({})},
            },
            prefix=path,
            roots={**well_known(settings.public_url), **roots},
            fallback=mounted[0] if mounted else None,
            addresses=addresses,
        )
        self.metrics.gauge("keyless_live_tokens", "Access tokens that are good now.", self.store.count_live_tokens)
        for name, (text, read) in process_gauges().items():
            self.metrics.gauge(name, text, read)
        gate = ResourceServerGate(self.store, _rate(60, monotonic))
        self.inside = Router(
            {
                "/oauth/introspect": {
                    "POST": IntrospectDoor(self.live, gate, fishing=_rate(3_000, monotonic), profile=profile)
                },
                "/oauth/feed": {"GET": FeedDoor(self.store, gate, profile=profile)},
                "/resources/state": {"POST": ResourceDoor(state_of(self.store.upkeep), gate, profile=profile)},
                "/resources/created": {"POST": ResourceDoor(created(self.store.upkeep), gate, profile=profile)},
                "/auth/check": {"GET": AuthCheckDoor(forward_auth, public_url=settings.public_url)},
                "/healthz": {"GET": HealthDoor({})},
                "/readyz": {"GET": HealthDoor(checks, {"policy": lambda: self._policy_problem})},
                "/metrics": {"GET": MetricsDoor(self.metrics)},
            },
            mounts={"/api/v1": LateDoor(self._manage), "/ui": LateDoor(self._show)},
        )

    def _keep_house(self, clock: Callable[[], float]) -> tuple[Sealer | None, Housekeeping]:
        key = load_checkpoint_key(self.settings, create=True)
        putting_away = PuttingAway(self.store, self.settings, key, clock=self._trusted_clock)
        jobs: list[tuple[int, Job]] = [(60, putting_away.often), (600, putting_away.seldom)]
        jobs.append((60, KeyRotation(self.signing_keys, every_days=self.settings.signing_key_days).tend))
        jobs.append((3600, self.store.purge_outbox))
        jobs.append((COUNT_SECONDS, self.store.count_exchanges))
        webhook = Webhook.of(self.settings, self.store, GuardedFetcher(), clock, self.metrics.webhooks)
        if webhook is not None:
            jobs.append((2, webhook.deliver))
        if key is None:
            _log.warning("the audit is not sealed: set checkpoint_key_file")
            return None, Housekeeping(jobs)
        sealer = Sealer(self.store.audit, key, checkpoint_file(self.settings), clock=clock)
        return sealer, Housekeeping([(SEAL_SECONDS, sealer.seal), *jobs])

    def _open_doors(self) -> tuple[dict[str, Mapping[str, Door]], dict[ResourceType, tuple[str, ...]]]:
        """Return endpoints and audiences of the registries in the settings, each known to the store as what it is."""
        roots: dict[str, Mapping[str, Door]] = {}
        audiences: dict[ResourceType, tuple[str, ...]] = {}
        taken = {self.settings.public_url: "public_url"}
        for name, settings in self.settings.doors.items():
            kind = find_door(name)
            terms = terms_of(name, kind, settings)
            for value in {settings.url, *terms.audiences}:
                if (other := taken.setdefault(value, name)) != name:
                    raise ConfigurationError(f"doors.{name}: {value!r} is the URL or audience of {other} already")
            self.store.ensure_resource_server(settings.url, name)
            lent = Lent(
                public_url=self.settings.public_url,
                url=settings.url,
                terms=terms,
                exchange=self.exchange,
                verification=self._verification,
                live=self.live,
                signing_key=self.signing_keys.active,
                clock=self.store.clock,
            )
            roots |= kind(lent).routes()
            audiences[kind.type] = terms.audiences
        return roots, audiences

    def drain(self) -> None:
        """Be ready no longer, and go on serving."""
        self._draining = True

    def close(self) -> None:
        """Finish what is being written and let go of everything."""
        if self._close_hub is not None:
            self._close_hub()
        self._verification.close()
        self._commit.close()
        if self._tracing is not None:
            self._tracing.close()
        self._housekeeping.close()
        self._log_keeping.close()
        if self._sealer is not None:
            with contextlib.suppress(UnavailableError, OSError):  # whoever opens the database next seals it
                self._sealer.seal()
        if self._administration is not None:
            self._administration.close()
        self.store.close()

    def reload(self) -> None:
        """Apply the mounted policy, if there is one; blocks meanwhile. What is wrong with it is told, never raised."""
        if self.settings.policy_directory is None:
            _log.info("asked to reload, and there is no policy_directory")
            return
        try:
            if self._policy is None:
                self._policy = self._open_policy(self.settings.policy_directory)
            self._policy_problem = self._policy.load()
        except Exception:  # noqa: BLE001 - a bug of ours must not end a service that exchanges tokens
            _log.exception("policy_directory is not applied")
            self._policy_problem = "internal error; see the log"

    def _open_administration(self) -> Administration:
        """Return the administration that API, pages and policy share, made when the first of them needs it."""
        from keyless.server.store.admin import Administration  # noqa: PLC0415 - see LateDoor

        with self._making:
            if self._administration is None:
                self._administration = Administration(
                    self.store, actor="serve", clock=self._clock, second_person=self.settings.second_person
                )
            return self._administration

    def _open_policy(self, path: Path) -> PolicyDirectory:
        from keyless.server.policy.directory import PolicyDirectory  # noqa: PLC0415 - as above

        return PolicyDirectory(path, self._open_administration(), prune=self.settings.policy_prune)

    def _manage(self) -> Door:
        from keyless.server.api.app import Parts, create_api  # noqa: PLC0415 - as above

        key = load_checkpoint_key(self.settings)
        return create_api(
            Parts(
                store=self.store,
                administration=self._open_administration(),
                verification=self._verification,
                checkpoint_key=None if key is None else key.public_key(),
                clock=self._clock,
            )
        )

    def _show(self) -> Door:
        from keyless.server.ui.app import Parts, create_ui  # noqa: PLC0415 - as above

        doors = self.settings.doors.items()
        key = load_checkpoint_key(self.settings)
        return create_ui(
            Parts(
                store=self.store,
                administration=self._open_administration(),
                public_url=self.settings.public_url,
                registries={n: (door.url, terms_of(n, find_door(n), door).audiences[0]) for n, door in doors},
                secure=(self.settings.pages_url or "").startswith("https://"),
                provider=self._provider,
                keys_at_hand=self._jwks.at_hand,
                checkpoint_key=None if key is None else key.public_key(),
                checkpoint_file=checkpoint_file(self.settings),
                clock=self._clock,
            )
        )


def _rate(per_minute: int, monotonic: Callable[[], float]) -> RateLimit:
    return RateLimit(per_minute, per_minute // 2, monotonic=monotonic)


def open_tracing(settings: Settings) -> Tracing | None:
    """Return where spans of exchanges go, or `None`: nothing of it is loaded then.

    Raises:
        ConfigurationError: They are to go somewhere, and what sends them is not installed.
    """
    if settings.otlp_endpoint is None:
        return None
    try:
        from keyless.server.tracing import Tracing  # noqa: PLC0415 - a library that most do without
    except ImportError as error:
        raise ConfigurationError(
            f"otlp_endpoint needs a library that is not installed: {error}", hint="pip install 'keyless[server,otel]'"
        ) from error
    return Tracing.to(settings.otlp_endpoint, ratio=settings.trace_ratio)


def exchange_service(tracing: Tracing | None) -> Callable[..., ExchangeService]:
    """Return what makes the exchange service: the plain one where nothing is traced."""
    if tracing is None:
        return ExchangeService
    from keyless.server.tracing import TracedExchangeService  # noqa: PLC0415 - as above

    return functools.partial(TracedExchangeService, tracing)


def _warn_of_skew(issuer: Issuer, seconds: float) -> None:
    if abs(seconds) > MAX_UNREMARKED_SKEW_SECONDS:
        _log.warning("the clock of issuer %s and ours differ by %.0f s", issuer.url, seconds)
