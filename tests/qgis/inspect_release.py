"""Open a release in QGIS without a screen and say, as JSON, what a user would see.

Run by the interpreter that has QGIS's bindings (Debian's ``/usr/bin/python3``), on a request in JSON:
``release`` (folder), ``pictures`` (folder), ``points`` (name -> list of coordinates in the project's CRS).
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from qgis.core import (
    Qgis,
    QgsApplication,
    QgsErrorMessage,
    QgsExpression,
    QgsExpressionContext,
    QgsExpressionContextUtils,
    QgsFeature,
    QgsLayoutExporter,
    QgsLayoutItem,
    QgsLayoutItemLabel,
    QgsLayoutItemLegend,
    QgsMapLayer,
    QgsMapRendererSequentialJob,
    QgsMapSettings,
    QgsNetworkAccessManager,
    QgsNetworkRequestParameters,
    QgsPrintLayout,
    QgsProject,
    QgsProjectBadLayerHandler,
    QgsProviderRegistry,
    QgsRectangle,
    QgsRelation,
    QgsRenderContext,
    QgsVectorLayer,
    QgsVectorLayerTools,
)
from qgis.gui import (
    QgsAdvancedDigitizingDockWidget,
    QgsAttributeEditorContext,
    QgsAttributeForm,
    QgsGui,
    QgsMapCanvas,
)
from qgis.PyQt.QtCore import QPointF, QSize, Qt
from qgis.PyQt.QtGui import QColor, QImage
from qgis.PyQt.QtWidgets import QLabel, QLineEdit, QTabWidget
from qgis.PyQt.QtXml import QDomNode

Answer = dict[str, Any]
Points = dict[str, list[list[float]]]

WIDTH, HEIGHT = 1300, 910
DPI = 100


class Watch(QgsProjectBadLayerHandler):
    """What would ask the user something, or ask the network."""

    def __init__(self) -> None:
        super().__init__()
        self.bad_layers, self.messages, self.requests = [], [], []
        QgsApplication.messageLog().messageReceived.connect(self._message)
        signal = QgsNetworkAccessManager.instance().requestAboutToBeCreated[QgsNetworkRequestParameters]
        signal.connect(lambda request: self.requests.append(request.request().url().toString()))

    def _message(self, text: str, tag: str, _level: int) -> None:
        self.messages.append(f"{tag}: {text}")

    def handleBadLayers(self, layers: list[QDomNode]) -> None:  # noqa: N802 - QGIS's name
        """QGIS asks here for the place of missing layers."""
        self.bad_layers += [layer.toElement().text() for layer in layers]


def main() -> None:
    """Answer the request of the first argument on standard output."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    release, pictures = Path(request["release"]), Path(request["pictures"])
    application = QgsApplication([], GUIenabled=True)
    application.initQgis()
    QgsGui.editorWidgetRegistry().initEditors()
    watch = Watch()
    answer = {
        "version": Qgis.QGIS_VERSION,
        "geopackage": layers_of(next(release.glob("*.gpkg"))),
    }
    project = QgsProject.instance()
    project.setBadLayerHandler(watch)
    answer["project"] = open_project(project, next(release.glob("*.qgz")))
    answer["form"] = fill_form(project, pictures / "formulaire.png")
    layouts = {layout.name(): layout for layout in project.layoutManager().layouts()}
    answer["pages"] = print_pages(
        layouts["Portrait cartographique des QPV (A3)"], pictures, request["points"]
    )
    answer["health_pages"] = print_health(layouts, pictures)
    answer["map"] = draw(project, pictures / "carte.png", request["points"])
    answer["requests"] = list(watch.requests)
    answer["base_requests"] = ask_for_base_map(project, watch)
    answer["files"] = sorted(path.name for path in release.iterdir())
    answer |= {"bad_layers": watch.bad_layers, "messages": watch.messages}
    project.clear()
    application.exitQgis()
    sys.stdout.write(json.dumps(answer))


class Tools(QgsVectorLayerTools):
    """What a form asks of QGIS's window: nothing, while nobody edits."""


def fill_form(project: QgsProject, picture: Path) -> Answer:
    """Say what the form of each QPV shows, tab by tab: labels, values, rows of the relations."""
    (qpv,) = (layer for layer in project.mapLayers().values() if layer.id().endswith("_qpv"))
    canvas = QgsMapCanvas()
    tools, dock = Tools(), QgsAdvancedDigitizingDockWidget(canvas)
    context = QgsAttributeEditorContext()
    context.setMapCanvas(canvas)
    context.setCadDockWidget(dock)
    context.setVectorLayerTools(tools)
    forms = {}
    for feature in qpv.getFeatures():
        form = QgsAttributeForm(qpv, feature, context)
        form.resize(900, 700)
        form.show()
        QgsApplication.processEvents()
        if feature["code_qp"] == "QN02503M":
            form.grab().save(str(picture))
        tabs = form.findChild(QTabWidget)
        forms[feature["code_qp"]] = {
            tabs.tabText(n): {
                "labels": [label.text() for label in tabs.widget(n).findChildren(QLabel) if label.text()],
                "values": [line.text() for line in tabs.widget(n).findChildren(QLineEdit)],
            }
            for n in range(tabs.count())
        }
        form.close()
    return forms


def layers_of(path: Path) -> Answer:
    """Say what each layer of the GeoPackage is when it is added by itself."""
    parts = QgsProviderRegistry.instance().querySublayers(str(path))
    found = {}
    for part in parts:
        layer = QgsVectorLayer(part.uri(), part.name(), "ogr")
        message, loaded = layer.loadDefaultStyle()
        found[part.name()] = describe(layer) | {"style": message if loaded else None}
    return found


def describe(layer: QgsVectorLayer) -> Answer:
    """Say what matters of a layer."""
    metadata = layer.metadata()
    names = layer.fields().names()
    widgets = {name: layer.editorWidgetSetup(rank) for rank, name in enumerate(names)}
    answer = {
        "valid": layer.isValid(),
        "error": layer.error().message(QgsErrorMessage.Text),
        "crs": layer.crs().authid(),
        "rows": layer.featureCount(),
        "read_only": layer.readOnly(),
        "aliases": {name: layer.attributeAlias(rank) for rank, name in enumerate(names)},
        "words": {
            name: widget.config()["map"] for name, widget in widgets.items() if widget.type() == "ValueMap"
        },
        "title": metadata.title(),
        "abstract": metadata.abstract(),
        "licences": metadata.licenses(),
        "rights": metadata.rights(),
        "contacts": [contact.organization for contact in metadata.contacts()],
    }
    if layer.isSpatial():
        answer["renderer"] = layer.renderer().type()
        answer["legend"] = [item.label() for item in layer.renderer().legendSymbolItems()]
        answer["labels"] = layer.labelsEnabled()
        answer["drawn_as"] = drawn_as(layer)
        answer["tips"] = [tip(layer, feature) for feature in layer.getFeatures()]
    return answer


def drawn_as(layer: QgsVectorLayer) -> list[Any]:
    """Return, for each feature by its displayed name, the entries of the legend that it is drawn with."""
    context = QgsRenderContext()
    context.setRendererScale(10000)
    context.expressionContext().appendScopes(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
    renderer = layer.renderer().clone()
    # A heading has no symbol.
    labels = {item.ruleKey(): item.label() for item in renderer.legendSymbolItems() if item.symbol()}
    renderer.startRender(context, layer.fields())
    name = QgsExpression(layer.displayExpression())
    found = []
    for feature in layer.getFeatures():
        context.expressionContext().setFeature(feature)
        keys = renderer.legendKeysForFeature(feature, context)
        found.append(
            [name.evaluate(context.expressionContext()), sorted(labels[key] for key in keys if key in labels)]
        )
    renderer.stopRender(context)
    return found


def tip(layer: QgsVectorLayer, feature: QgsFeature) -> str:
    """Return the text shown over a feature."""
    context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
    context.setFeature(feature)
    return QgsExpression.replaceExpressionText(layer.mapTipTemplate(), context)


def open_project(project: QgsProject, path: Path) -> Answer:
    """Open the project and say what it holds."""
    opened = project.read(str(path))
    nodes = project.layerTreeRoot().findLayers()
    layers = [
        {"id": node.layer().id(), "name": node.name(), "group": node.parent().name()}
        | {"visible": node.isVisible(), "spatial": node.layer().isSpatial(), "uri": node.layer().source()}
        | (
            describe(node.layer())
            if isinstance(node.layer(), QgsVectorLayer)
            else {"valid": node.layer().isValid()}
        )
        for node in nodes
    ]
    relations, themes = project.relationManager().relations().values(), project.mapThemeCollection()
    return {
        "opened": opened,
        "error": project.error(),
        "title": project.title(),
        "crs": project.crs().authid(),
        "dirty": project.isDirty(),
        "scales": project.viewSettings().mapScales(),
        "layers": layers,
        "relations": {relation.name(): relation.isValid() for relation in relations},
        "related": {relation.name(): related(relation) for relation in relations},
        "bookmarks": {
            mark.name(): mark.extent().asWktPolygon() for mark in project.bookmarkManager().bookmarks()
        },
        "themes": {name: themes.mapThemeVisibleLayerIds(name) for name in themes.mapThemes()},
    }


def related(relation: QgsRelation) -> int:
    """Count the rows that belong to the first QPV."""
    feature = next(relation.referencedLayer().getFeatures())
    return sum(1 for _ in relation.getRelatedFeatures(feature))


def visible_layers(project: QgsProject) -> list[QgsMapLayer]:
    """Return the layers that the project shows at first, top first."""
    nodes = project.layerTreeRoot().findLayers()
    return [node.layer() for node in nodes if node.isVisible() and node.layer().isSpatial()]


def draw(project: QgsProject, path: Path, points: Points) -> Answer:
    """Draw the project's first view and return the colours at points."""
    settings = QgsMapSettings()
    settings.setLayers(visible_layers(project))
    settings.setOutputSize(QSize(WIDTH, HEIGHT))
    settings.setDestinationCrs(project.crs())
    settings.setExtent(project.viewSettings().defaultViewExtent())
    settings.setBackgroundColor(QColor("white"))
    settings.setLabelingEngineSettings(project.labelingEngineSettings())
    # As the map canvas has them.
    context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(None))
    context.appendScope(QgsExpressionContextUtils.mapSettingsScope(settings))
    settings.setExpressionContext(context)
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    image = job.renderedImage()
    save(image, path)
    to_pixel = settings.mapToPixel()
    results = job.takeLabelingResults()
    labels = [label for label in results.allLabels() if not label.isUnplaced]
    callouts = results.calloutsWithinRectangle(settings.visibleExtent())
    return {
        "scale": settings.scale(),
        "errors": [error.message for error in job.errors()],
        "pixel": settings.mapUnitsPerPixel(),
        "texts": [label.labelText for label in labels],
        "names": [
            [label.labelText, label.labelGeometry.asWkt()]
            for label in labels
            if label.layerID.endswith("_qpv")
        ],
        "callouts": [callout.destination().asWkt() for callout in callouts],
        "colors": {
            name: [color_at(image, to_pixel.transform(x, y)) for x, y in where]
            for name, where in points.items()
        },
    }


def print_health(layouts: dict[str, QgsPrintLayout], pictures: Path) -> list[Answer]:
    """Return what the pages of the health layout say, and print that of Planoise; none without the layout."""
    layout = layouts.get("Portrait santé des QPV (A3)")
    if layout is None:
        return []
    atlas, pages = layout.atlas(), []
    atlas.beginRender()
    while atlas.next():
        code = atlas.currentFilename()
        if code.endswith("QN02503M"):
            settings = QgsLayoutExporter.ImageExportSettings()
            settings.dpi = DPI
            settings.generateWorldFile = False
            path = pictures / f"{code}.png"
            QgsLayoutExporter(layout).exportToImage(str(path), settings)
            save(QImage(str(path)), path)
        pages.append(
            {
                "file": code,
                "texts": {item.id(): item.currentText() for item in texts(layout)},
                "overflowing": [item.id() for item in texts(layout) if overflows(item)],
                "layers": [layer.id() for layer in layout.itemById("Carte").layers()],
                "extent": layout.itemById("Carte").extent().asWktPolygon(),
                "legend_bottom": bottom(layout.itemById("Légende")),
            }
        )
    atlas.endRender()
    return pages


def print_pages(layout: QgsPrintLayout, pictures: Path, points: Points) -> list[Answer]:
    """Print each page of the atlas; return what it says and the colours at points of its map."""
    atlas = layout.atlas()
    pages = []
    designed = {item.id(): item.currentText() for item in texts(layout)}
    atlas.beginRender()
    while atlas.next():
        settings = QgsLayoutExporter.ImageExportSettings()
        settings.dpi = DPI
        settings.generateWorldFile = False
        code = atlas.currentFilename()
        path = pictures / f"{code}.png"
        failed = QgsLayoutExporter(layout).exportToImage(str(path), settings)
        image = QImage(str(path))
        pages.append(
            {
                "file": code,
                "failed": failed,
                "size": [image.width(), image.height()],
                "name": atlas.nameForPage(atlas.currentFeatureNumber()),
                "scale": layout.itemById("Carte").scale(),
                "designed": designed,
                "texts": {item.id(): item.currentText() for item in texts(layout)},
                "overflowing": [item.id() for item in texts(layout) if overflows(item)],
                "colors": page_colors(layout, image, points),
                "legend": legend(layout.itemById("Légende")),
                "legend_bottom": bottom(layout.itemById("Légende")),
                "below_legend": min(
                    item.pos().y()
                    for item in texts(layout)
                    if item.id() in {"Essentiel (titre)", "Situation (titre)"}
                ),
            }
        )
        save(image, path)
    atlas.endRender()
    return pages


def texts(layout: QgsPrintLayout) -> list[QgsLayoutItemLabel]:
    """Return the texts of a page."""
    return [item for item in layout.items() if isinstance(item, QgsLayoutItemLabel)]


def overflows(item: QgsLayoutItemLabel) -> bool:
    """Tell whether a text needs more room than it has."""
    needed, across, down = item.sizeForText(), 2 * item.marginX(), 2 * item.marginY()
    lines = -(-(needed.width() - across) // (item.rect().width() - across))
    return lines * (needed.height() - down) + down > item.rect().height() + 1


def legend(item: QgsLayoutItemLegend) -> list[str]:
    """Return the titles of the layers in a legend as they were printed."""
    context = item.createExpressionContext()
    titles = [
        node.customProperty("legend/title-label") or node.name()
        for node in item.model().rootGroup().findLayers()
    ]
    return [QgsExpression.replaceExpressionText(title, context) for title in titles]


def bottom(item: QgsLayoutItem) -> float:
    """Return where an item ends, in millimetres from the top of the page."""
    return item.pos().y() + item.rect().height()


def page_colors(layout: QgsPrintLayout, image: QImage, points: Points) -> Answer:
    """Return the colours at points of the large map, None for those outside it."""
    item = layout.itemById("Carte")
    extent, millimetre = item.extent(), DPI / 25.4
    colors = {}
    for name, where in points.items():
        colors[name] = []
        for x, y in where:
            right = (x - extent.xMinimum()) / extent.width() * item.rect().width()
            down = (extent.yMaximum() - y) / extent.height() * item.rect().height()
            inside = 0 < right < item.rect().width() and 0 < down < item.rect().height()
            place = QPointF((item.pos().x() + right) * millimetre, (item.pos().y() + down) * millimetre)
            colors[name].append(color_at(image, place) if inside else None)
    return colors


def color_at(image: QImage, place: QPointF) -> str | None:
    """Return the colour of a pixel as ``#rrggbb``, None outside the image."""
    x, y = int(place.x()), int(place.y())
    return image.pixelColor(x, y).name() if image.valid(x, y) else None


def save(image: QImage, path: Path) -> None:
    """Save a picture small: its 256 most frequent colours are enough for a map."""
    exact = image.convertToFormat(QImage.Format_RGB32)
    bits = exact.constBits()
    bits.setsize(exact.sizeInBytes())
    colors, counts = np.unique(np.frombuffer(bits, dtype=np.uint32), return_counts=True)
    table = colors[np.argsort(-counts)[:256]].tolist()
    flags = Qt.ThresholdDither | Qt.AvoidDither
    exact.convertToFormat(QImage.Format_Indexed8, table, flags).save(str(path), "PNG")


def ask_for_base_map(project: QgsProject, watch: Watch) -> list[str]:
    """Turn the first base map on, draw it and return the addresses that it asks for."""
    before = len(watch.requests)
    base = project.layerTreeRoot().findLayers()[-2].layer()
    settings = QgsMapSettings()
    settings.setLayers([base])
    settings.setOutputSize(QSize(64, 64))
    settings.setDestinationCrs(project.crs())
    center = project.viewSettings().defaultViewExtent().center()
    settings.setExtent(QgsRectangle.fromCenterAndSize(center, 100, 100))
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    QgsApplication.processEvents()
    return watch.requests[before:]


if __name__ == "__main__":
    main()
