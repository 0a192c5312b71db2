"""A group of layers for the open Quadrat project, in a layer tree that belongs to the analyst.

The analyst may rename and move the group, move layers out of it or others in, and remove any of them: nothing comes
back by itself and nothing of the analyst's goes. Group and layers carry a custom property, so they are known again in a
QGIS project that was saved with them.

QGIS may delete a layer at any time, so layers are looked up by id. The objects are kept too, but only because QGIS does
not keep the Python half of a layer alive.
"""

from __future__ import annotations

from collections.abc import Sequence

from qgis.core import QgsLayerTree, QgsLayerTreeGroup, QgsLayerTreeLayer, QgsMapLayer, QgsProject

_KEY_PROPERTY = "quadrat/role"
_GROUP_PROPERTY = "quadrat/group"


class LayerGroup:
    """The layers by key.

    Args:
        order: keys from top to bottom; other keys come below them.
        hidden: keys whose layers are not visible until the analyst wants them.
    """

    def __init__(self, order: Sequence[str], hidden: Sequence[str] = ()) -> None:
        self._order = tuple(order)
        self._hidden_at_first = frozenset(hidden)
        self._hidden = set(hidden)
        self._title = ""
        self._ids: dict[str, str] = {}
        self._objects: dict[str, QgsMapLayer] = {}
        self._to_replace: set[str] = set()
        self._dismissed: set[str] = set()
        QgsProject.instance().layersRemoved.connect(self._on_layers_removed)

    def unload(self) -> None:
        """Remove everything and stop listening."""
        QgsProject.instance().layersRemoved.disconnect(self._on_layers_removed)
        self.close()

    def open(self, title: str) -> None:
        """Call the group ``title`` if it has to be made."""
        self._title = title

    def close(self) -> None:
        """Remove the layers, and the group unless the analyst put other layers into it."""
        for key in list(self._ids):
            self.remove(key)
        group = self._group()
        if group is not None and group.children():
            group.removeCustomProperty(_GROUP_PROPERTY)
        elif group is not None:
            group.parent().removeChildNode(group)
        self._dismissed.clear()
        self._hidden = set(self._hidden_at_first)

    def wants(self, key: str) -> bool:
        """Whether a layer has to be made: one is missing that the analyst did not remove, or is to be replaced."""
        return key in self._to_replace or (key not in self._ids and key not in self._dismissed)

    def give_up(self, key: str) -> None:
        """Do not want a layer that cannot be made, until :meth:`bring_back`."""
        self._dismissed.add(key)

    def bring_back(self) -> None:
        """Want all layers again, also those that were removed by hand."""
        self._dismissed.clear()

    def layer(self, key: str) -> QgsMapLayer | None:
        """The layer under ``key``."""
        return QgsProject.instance().mapLayer(self._ids.get(key, ""))

    def add(self, key: str, layer: QgsMapLayer, *, expanded: bool) -> None:
        """Put a new layer into the group above the first of ours that belongs below it, or where it was saved."""
        layer.setCustomProperty(_KEY_PROPERTY, key)
        if key in self._to_replace:
            self._replace(key, layer)
            return
        group = self._group() or self._make_group()
        node = self._insert(key, layer, group, self._place_in(group, key))
        node.setExpanded(expanded)
        node.setItemVisibilityChecked(key not in self._hidden)

    def adopt(self, layer: QgsMapLayer, *, replace: bool) -> None:
        """Take over a layer of a saved QGIS project, unless there is one already.

        Args:
            layer: one that has a key.
            replace: it keeps its place and looks, but a new one has to be added for it.
        """
        key = self.key_of(layer)
        if key is not None and key not in self._ids:
            self._ids[key] = layer.id()
            if replace:
                self._to_replace.add(key)

    @staticmethod
    def key_of(layer: QgsMapLayer) -> str | None:
        """The key under which a layer was added, in this session or an earlier one."""
        key = layer.customProperty(_KEY_PROPERTY)
        return None if key is None else str(key)

    def remove(self, key: str) -> None:
        """Remove one of our layers, if it is there; if it comes again it is as visible as it was."""
        node = self._node(key)
        if node is not None:
            self._remember_visible(key, node.itemVisibilityChecked())
        layer_id = self._forget(key)
        if layer_id is not None:
            QgsProject.instance().removeMapLayer(layer_id)

    def set_visible(self, key: str, visible: bool) -> None:
        """Show or hide a layer; it also holds for one that comes later."""
        self._remember_visible(key, visible)
        node = self._node(key)
        if node is not None and visible:
            node.setItemVisibilityCheckedParentRecursive(True)
        elif node is not None:
            node.setItemVisibilityChecked(False)

    def is_visible(self, key: str) -> bool:
        """Whether a layer is ticked, or would be if it came now."""
        node = self._node(key)
        return key not in self._hidden if node is None else bool(node.itemVisibilityChecked())

    def _remember_visible(self, key: str, visible: bool) -> None:
        if visible:
            self._hidden.discard(key)
        else:
            self._hidden.add(key)

    def _replace(self, key: str, layer: QgsMapLayer) -> None:
        """Put ``layer`` where its predecessor is, with its name, opacity, blending, visibility and unfolding."""
        old, node = self.layer(key), self._node(key)
        assert old is not None
        assert node is not None
        layer.setName(old.name())
        layer.setOpacity(old.opacity())
        layer.setBlendMode(old.blendMode())
        parent, visible, expanded = node.parent(), node.itemVisibilityChecked(), node.isExpanded()
        place = parent.children().index(node)
        self.remove(key)
        node = self._insert(key, layer, parent, place)
        node.setItemVisibilityChecked(visible)
        node.setExpanded(expanded)

    def _insert(self, key: str, layer: QgsMapLayer, group: QgsLayerTreeGroup, place: int) -> QgsLayerTreeLayer:
        self._ids[key] = layer.id()
        self._objects[key] = layer
        QgsProject.instance().addMapLayer(layer, False)
        return group.insertLayer(place, layer)

    def _on_layers_removed(self, layer_ids: list[str]) -> None:
        """Note what somebody else removed; our own removals are forgotten before they happen."""
        for key in [key for key, layer_id in self._ids.items() if layer_id in layer_ids]:
            self._forget(key)
            self._dismissed.add(key)

    def _forget(self, key: str) -> str | None:
        self._to_replace.discard(key)
        self._objects.pop(key, None)
        return self._ids.pop(key, None)

    def _node(self, key: str) -> QgsLayerTreeLayer | None:
        return QgsProject.instance().layerTreeRoot().findLayer(self._ids.get(key, ""))

    def _group(self) -> QgsLayerTreeGroup | None:
        groups = QgsProject.instance().layerTreeRoot().findGroups(True)
        return next((group for group in groups if group.customProperty(_GROUP_PROPERTY) is not None), None)

    def _make_group(self) -> QgsLayerTreeGroup:
        group = QgsProject.instance().layerTreeRoot().insertGroup(0, self._title)
        group.setCustomProperty(_GROUP_PROPERTY, True)
        group.setExpanded(True)
        return group

    def _place_in(self, group: QgsLayerTreeGroup, key: str) -> int:
        rank_of = {layer_id: self._rank(name) for name, layer_id in self._ids.items()}
        for place, node in enumerate(group.children()):
            if QgsLayerTree.isLayer(node) and rank_of.get(node.layerId(), -1) > self._rank(key):
                return place
        return len(group.children())

    def _rank(self, key: str) -> int:
        return self._order.index(key) if key in self._order else len(self._order)
