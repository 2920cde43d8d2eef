"""Two machines of a cluster, as two nodes on this one, of which one is lost while both work."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from peers import wait_for
from ray.cluster_utils import Cluster as Nodes
from ray_tasks import wait_for_the_loss

from training.cluster import open_cluster


@pytest.mark.timeout(300)
def test_what_a_lost_machine_had_is_done_by_the_other(tmp_path: Path) -> None:
    """Every result once and in order; what the lost node had begun is begun again."""
    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = nodes.add_node(num_cpus=1)

    def lose_one() -> None:
        wait_for(lambda: len(list(tmp_path.glob("begun-*"))) == 2, "a task on each node", 120)
        nodes.remove_node(second, allow_graceful=False)
        (tmp_path / "lost").touch()

    loser = threading.Thread(target=lose_one)
    try:
        with open_cluster(nodes.address) as cluster:
            loser.start()
            found = list(cluster.mapped(wait_for_the_loss, ((number, str(tmp_path)) for number in range(4))))
            loser.join()
    finally:
        nodes.shutdown()

    assert cluster.cpus == 2
    assert found == [0, 1, 2, 3]
    begun = [path.name.split("-")[1] for path in tmp_path.glob("begun-*")]
    assert len(begun) == 5, "one of the first two a second time, on the node that is left"
    assert len(set(begun)) == 4
