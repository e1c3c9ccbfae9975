"""Faults of RabbitMQ: stopped, killed, emptied, cut off. It holds signals only: their loss costs a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.selftest.fault import Fault, known

if TYPE_CHECKING:
    from simulators.selftest.scene import Scene
    from simulators.selftest.world import Broker, Shape


class _OfBroker(Fault):
    group, alone, gap_s = "broker", True, 6.0

    @classmethod
    def targets(cls, shape: Shape) -> tuple[str, ...]:
        return ("",) if shape.cluster else ()

    def broker(self, scene: Scene) -> Broker:
        assert scene.world.broker is not None, "only in a cluster"
        return scene.world.broker

    def undo(self, scene: Scene) -> None:
        with scene.world.broker_lock:
            self.broker(scene).start()


@known
class BrokerStopped(_OfBroker):
    kind, title, span_s = "broker-stop", "RabbitMQ остановлен и запущен", (0.5, 4.0)

    def apply(self, scene: Scene) -> str:
        with scene.world.broker_lock:
            self.broker(scene).stop()
        return ""


@known
class BrokerKilled(_OfBroker):
    kind, title, span_s = "broker-kill", "kill -9 RabbitMQ", (0.5, 3.0)

    def apply(self, scene: Scene) -> str:
        with scene.world.broker_lock:
            self.broker(scene).kill()
        return ""


@known
class BrokerWiped(_OfBroker):
    kind, title, weight = "broker-wipe", "RabbitMQ потерян и начат заново пустым", 2

    def apply(self, scene: Scene) -> str:
        with scene.world.broker_lock:
            self.broker(scene).wipe()
        return ""


@known
class BrokerCutOff(_OfBroker):
    kind, title, weight, span_s = "broker-cut-off", "RabbitMQ не слышно (разрыв сети)", 2, (1.0, 6.0)

    def apply(self, scene: Scene) -> str:
        with scene.world.broker_lock:
            self.broker(scene).partition()
        return ""

    def undo(self, scene: Scene) -> None:
        with scene.world.broker_lock:
            self.broker(scene).heal()
