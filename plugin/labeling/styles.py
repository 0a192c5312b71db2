"""How tiles look on the map: one renderer for each layer of the overlay.

The image under a tile must stay visible while it is labelled, so an answer is a light fill and an outline in the
colour of its class. The outline lies inside the tile, so that neighbours do not paint over each other, and on a dark
casing, so that it reads on bright fields as well as on dark water. Predictions are filled without outline; how much
they cover is the opacity of their layer, which the analyst can change.

In a single-label project each class is a category. In a multi-label project each class of a tile is a vertical stripe:
one rule a class, so that classes can be switched off one by one in the legend. Classes follow the class list.

Two traps of QGIS's Python bindings: a symbol made from a list of symbol layers does not own them, so layers are
appended; and a rule made in Python is written to after the renderer has deleted it, so rules are clones of QGIS's own.
"""

from __future__ import annotations

from collections.abc import Sequence

from qgis.core import (
    Qgis,
    QgsCategorizedSymbolRenderer,
    QgsExpression,
    QgsFeatureRenderer,
    QgsFillSymbol,
    QgsGeometryGeneratorSymbolLayer,
    QgsGraduatedSymbolRenderer,
    QgsRendererCategory,
    QgsRendererRange,
    QgsRuleBasedRenderer,
    QgsSimpleFillSymbolLayer,
    QgsSimpleLineSymbolLayer,
    QgsSymbolLayer,
)
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QColor

from ...core.project.classes import LabelClass

PREDICTION_OPACITY = 0.55
UNCERTAINTY_OPACITY = 0.65

# The names of a tile's classes stand in one column; a name cannot hold a semicolon.
_SEPARATOR = "; "

_CASING = QColor(0, 0, 0, 130)
_CASING_MM = 1.2
_OUTLINE_MM = 0.7
_STRIPE_OUTLINE_MM = 0.7
_HAIRLINE_MM = 0.25
_LIGHT = 35  # alpha of the fill under an outline
_STRIPE_LIGHT = 50
_GREY = QColor(205, 205, 205)
_WHITE = QColor(255, 255, 255)

# From sure to unsure, even steps in lightness, so that it also reads in grey and for colour-blind people.
_UNCERTAINTY_COLOURS = ("#FFF3B0", "#F9C46B", "#EC8A5E", "#C4516B", "#7A2A74")

_OTHER_ANSWERS = (("none", "None of these"), ("unsure", "Unsure"), ("skip", "Skipped"))
_OTHER_PENS = {"none": Qt.PenStyle.SolidLine, "unsure": Qt.PenStyle.DashLine, "skip": Qt.PenStyle.DotLine}


def asked_renderer() -> QgsFeatureRenderer:
    """Tiles of query rounds by state: the open ones stand out, the others have a thin border."""
    states = [("open", "Open", _outlined(_WHITE)), ("classes", "Answered", _bordered(_WHITE, Qt.PenStyle.SolidLine))]
    states += [(kind, text, _bordered(_GREY, _OTHER_PENS[kind])) for kind, text in _OTHER_ANSWERS]
    return QgsCategorizedSymbolRenderer(
        "answer", [QgsRendererCategory(kind, symbol, text) for kind, text, symbol in states]
    )


def answers_renderer(classes: Sequence[LabelClass], mode: str) -> QgsFeatureRenderer:
    """Answered tiles by class; other answers in grey: none hatched, unsure dashed, skipped dotted."""
    if mode == "multi":
        rules = [_class_rule(item, _striped(QColor(item.colour))) for item in classes]
        rules += [(f"\"answer\" = '{kind}'", text, _other_symbol(kind)) for kind, text in _OTHER_ANSWERS]
        return _rule_renderer(rules)
    categories = [_category(item, _outlined(QColor(item.colour), _LIGHT)) for item in classes]
    categories += [QgsRendererCategory(kind, _other_symbol(kind), text) for kind, text in _OTHER_ANSWERS]
    # No class is called like one of the other answers.
    return QgsCategorizedSymbolRenderer('coalesce("label", "answer")', categories)


def predictions_renderer(classes: Sequence[LabelClass], mode: str) -> QgsFeatureRenderer:
    """Predicted tiles by class. A tile of a multi-label project without any class stays empty."""
    if mode == "multi":
        return _rule_renderer([_class_rule(item, _filled(QColor(item.colour))) for item in classes])
    return QgsCategorizedSymbolRenderer("label", [_category(item, _filled(QColor(item.colour))) for item in classes])


def uncertainty_renderer(steps: Sequence[tuple[float, float]]) -> QgsFeatureRenderer:
    """Predicted tiles by uncertainty.

    Args:
        steps: ``(lowest, highest)`` uncertainty of each step, from sure to unsure; five at most.
    """
    colours = _UNCERTAINTY_COLOURS[-len(steps) :] if steps else ()
    ranges = [
        QgsRendererRange(low, high, _filled(QColor(colour)), f"{low:.2g} – {high:.2g}")
        for (low, high), colour in zip(steps, colours)
    ]
    return QgsGraduatedSymbolRenderer("uncertainty", ranges)


def _category(item: LabelClass, symbol: QgsFillSymbol) -> QgsRendererCategory:
    return QgsRendererCategory(item.name, symbol, item.name)


def _outlined(colour: QColor, fill_alpha: int = 0, pen: Qt.PenStyle = Qt.PenStyle.SolidLine) -> QgsFillSymbol:
    casing = _inner_line(_CASING, _CASING_MM, Qt.PenStyle.SolidLine)
    return _symbol(_fill(_faint(colour, fill_alpha)), casing, _inner_line(colour, _OUTLINE_MM, pen))


def _other_symbol(kind: str) -> QgsFillSymbol:
    symbol = _outlined(_GREY, pen=_OTHER_PENS[kind])
    if kind == "none":
        symbol.appendSymbolLayer(_fill(_GREY, Qt.BrushStyle.BDiagPattern))
    return symbol


def _striped(colour: QColor) -> QgsFillSymbol:
    """For the narrow stripe of a class, which an inner line could fill."""
    stripe = QgsSimpleFillSymbolLayer(_faint(colour, _STRIPE_LIGHT), Qt.BrushStyle.SolidPattern, colour)
    stripe.setStrokeWidth(_STRIPE_OUTLINE_MM)
    stripe.setPenJoinStyle(Qt.PenJoinStyle.MiterJoin)
    return _symbol(stripe)


def _filled(colour: QColor) -> QgsFillSymbol:
    return _symbol(_fill(colour))


def _bordered(colour: QColor, pen: Qt.PenStyle) -> QgsFillSymbol:
    casing = QgsSimpleLineSymbolLayer(_CASING, 3 * _HAIRLINE_MM)
    return _symbol(casing, QgsSimpleLineSymbolLayer(colour, _HAIRLINE_MM, pen))


def _fill(colour: QColor, brush: Qt.BrushStyle = Qt.BrushStyle.SolidPattern) -> QgsSimpleFillSymbolLayer:
    return QgsSimpleFillSymbolLayer(colour, brush, colour, Qt.PenStyle.NoPen)


def _inner_line(colour: QColor, width_mm: float, pen: Qt.PenStyle) -> QgsSimpleLineSymbolLayer:
    line = QgsSimpleLineSymbolLayer(colour, width_mm, pen)
    line.setPenJoinStyle(Qt.PenJoinStyle.MiterJoin)
    line.setOffset(_CASING_MM / 2)
    return line


def _faint(colour: QColor, alpha: int) -> QColor:
    faint = QColor(colour)
    faint.setAlpha(alpha)
    return faint


def _symbol(*layers: QgsSymbolLayer) -> QgsFillSymbol:
    symbol = QgsFillSymbol.createSimple({})
    symbol.deleteSymbolLayer(0)
    for layer in layers:
        symbol.appendSymbolLayer(layer)
    return symbol


def _class_rule(item: LabelClass, symbol: QgsFillSymbol) -> tuple[str, str, QgsFillSymbol]:
    """Filter, label and symbol of one class: the stripe of each tile that has it."""
    name = QgsExpression.quotedString(item.name)
    separator = f"'{_SEPARATOR}'"
    has_class = f'strpos({separator} || "label" || {separator}, {separator} || {name} || {separator}) > 0'
    stripe = QgsGeometryGeneratorSymbolLayer.create({"geometryModifier": _stripe(name, separator)})
    stripe.setSymbolType(Qgis.SymbolType.Fill)
    stripe.setSubSymbol(symbol)
    return has_class, item.name, _symbol(stripe)


def _stripe(name: str, separator: str) -> str:
    """The n-th part of a tile's width, where n is the place of the class among the tile's classes."""
    return (
        'if("n_classes" = 1, $geometry,'
        " with_variable('width', bounds_width($geometry) / \"n_classes\","
        " with_variable('left', x_min($geometry)"
        f' + @width * array_find(string_to_array("label", {separator}), {name}),'
        " bounds(make_line(make_point(@left, y_min($geometry)), make_point(@left + @width, y_max($geometry)))))))"
    )


def _rule_renderer(rules: Sequence[tuple[str, str, QgsFillSymbol]]) -> QgsRuleBasedRenderer:
    renderer = QgsRuleBasedRenderer(QgsFillSymbol.createSimple({}))
    root = renderer.rootRule()
    pattern = root.children()[0]
    for expression, label, symbol in rules:
        rule = pattern.clone()
        rule.setFilterExpression(expression)
        rule.setLabel(label)
        rule.setSymbol(symbol)
        root.appendChild(rule)
    root.removeChildAt(0)
    return renderer
