# SPDX-License-Identifier: Apache-2.0
"""When a report is refused."""

import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.placement import provider, refusal, updates
from nova_vfio_variant.testing import placement
from tests import base

ROOT = provider.Listed("its uuid", "compute-1", 3, None)
OURS = placement.Remembered("its uuid", 3, "nova")


class RefusalTest(base.TestCase):
    def refused(
        self, rule: ty.Callable[..., None], *args: ty.Any
    ) -> exception.InventoryRefused:
        error = self.assertRaises(exception.InventoryRefused, rule, *args)
        assert isinstance(error, exception.InventoryRefused)
        return error

    def test_a_root_that_another_made_is_left_alone(self) -> None:
        others = placement.Remembered("another uuid", 3, "nova")
        for known in (None, others):
            error = self.refused(
                refusal.root_of_another, "compute-1", ROOT, known, "here"
            )
            self.assertIn("compute-1 in here was not made by us", str(error))
        refusal.root_of_another("compute-1", ROOT, OURS, "here")

    def test_a_root_that_is_not_there_is_nobodys(self) -> None:
        for known in (None, OURS):
            refusal.root_of_another("compute-1", None, known, "here")

    def test_a_root_that_has_an_owner_is_left_alone(self) -> None:
        error = self.refused(
            refusal.owned_root, "compute-1", ["CUSTOM_A", "OWNER_NOVA"]
        )
        self.assertIn("has an owner, OWNER_NOVA,", str(error))
        refusal.owned_root("compute-1", ["CUSTOM_A", "CUSTOM_OWNER_A"])

    def test_a_provider_that_got_an_owner_is_left_alone(self) -> None:
        def published(trait: str) -> provider.Published:
            return provider.Published("a uuid", "one", 1, {}, (trait,))

        desired = provider.Provider("two", "compute-1", {}, ())
        fine = updates.of(desired, None)
        refusal.owned([fine, updates.of(None, published("CUSTOM_A"))])
        owned = updates.of(None, published("OWNER_CYBORG"))
        error = self.refused(refusal.owned, [fine, owned])
        self.assertIn("provider one has an owner, OWNER_CYBORG", str(error))

    def test_providers_that_another_made_are_named(self) -> None:
        known = placement.Memory()
        for name in ("ours", "replaced"):
            known.put(name, f"uuid of {name}", 1, None)
        seen = updates.Seen(
            ROOT,
            {
                name: provider.Listed(uuid, name, 1, ROOT.uuid)
                for name, uuid in (
                    ("ours", "uuid of ours"),
                    ("replaced", "another"),
                    ("foreign", "a third"),
                )
            },
            {},
        )
        refusal.children_of_another(["ours", "new"], seen, known, "here")
        error = self.refused(
            refusal.children_of_another,
            ["ours", "replaced", "foreign"],
            seen,
            known,
            "here",
        )
        self.assertIn("provider replaced, foreign in here", str(error))

    def test_nothing_moves_while_there_are_claims(self) -> None:
        error = self.refused(refusal.another_layout, "per_class", True)
        self.assertIn("per_class while there are claims", str(error))
        error = self.refused(refusal.another_root, "new", ["b", "a"], True)
        self.assertIn("than new, and there are claims: a, b", str(error))
        refusal.another_layout("per_class", False)
        refusal.another_root("new", ["b", "a"], False)

    def test_all_is_published_anew_only_where_nothing_is_missing(self) -> None:
        self.refused(refusal.incomplete, False)
        refusal.incomplete(True)
