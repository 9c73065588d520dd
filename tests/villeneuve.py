"""Grand Villeneuve: an EPCI of squares whose areas and figures are known by hand, in every official file.

Two communes of 100 km², three QPV, everything around them. Coordinates are metres from a corner in the Doubs,
where no other QPV is.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import shapely
from shapely.geometry.base import BaseGeometry

from tests.apl_files import write_every_apl
from tests.city import city
from tests.country import country, zipped
from tests.raw_files import write_csv, write_json, write_zip, zip_shapefile

EPCI, OTHER_EPCI = "200099991", "200099992"
GRANDVILLE, PETITBOURG = "25901", "25902"
CARRES, FRONTIERE, IDENTIQUE = "QN02591M", "QN02592N", "QN02593I"
NEIGHBOUR = "QN02594N"
CARRES_2015, IDENTIQUE_2015, GONE_2015 = "QP025091", "QP025093", "QP025094"
WEST, MIDDLE, EAST, WHOLE_PETITBOURG = "259010101", "259010102", "259010103", "259020000"
QPV = (CARRES, FRONTIERE, IDENTIQUE)
_CORNER = (950_000.0, 6_670_000.0)
_QPV_2015 = 1296

Row = Sequence[str]


def square(west: float, south: float, east: float, north: float) -> shapely.Polygon:
    """Return a rectangle in Lambert-93, its sides in metres from the corner."""
    x, y = _CORNER
    return shapely.box(x + west, y + south, x + east, y + north)


CONTOURS = {
    CARRES: square(2000, 2000, 3000, 3000),
    FRONTIERE: square(9400, 5000, 10400, 5400),
    IDENTIQUE: square(6100, 7000, 6600, 7500),
}
# The one that left has the name of one that came: whoever joins by name is found out.
CONTOURS_2015 = {
    CARRES_2015: ("Les Carrés", square(1800, 2000, 2800, 3000)),
    IDENTIQUE_2015: ("L'Identique", CONTOURS[IDENTIQUE]),
    GONE_2015: ("La Frontière", square(4000, 4000, 4200, 4500)),
}
# In no commune of the EPCI, 400 m east of its limit.
BESIDE = square(20_400, 5000, 20_900, 5500)
NAMES = {CARRES: "Les Carrés", FRONTIERE: "La Frontière", IDENTIQUE: "L'Identique"}
COMMUNES = {GRANDVILLE: ("Grandville", 0, 10_000), PETITBOURG: ("Petitbourg", 10_000, 20_000)}
IRIS = {
    WEST: ("Ouest", GRANDVILLE, 0, 2600),
    MIDDLE: ("Milieu", GRANDVILLE, 2600, 6000),
    EAST: ("Est", GRANDVILLE, 6000, 10_000),
    WHOLE_PETITBOURG: ("Petitbourg", PETITBOURG, 10_000, 20_000),
}
DISTRICT = square(2000, 4000, 4600, 5000)
FRAGILE = square(7000, 1000, 7400, 1500)

TERRITORY = f"""
id = "villeneuve"
nom = "Grand Villeneuve"
epci = "{EPCI}"
departement = "25"
region = "27"
communes_principales = ["{GRANDVILLE}", "{PETITBOURG}"]

[expected]
qpv = 3
qpv_departement = 17
communes = 2

[bandes]
npnru = ["{CARRES}"]

[[quartiers]]
nom = "Couchant"
iris = ["{WEST}", "{MIDDLE}"]

[contrat]
titre = "Contrat de ville du Grand Villeneuve"
periode = "2024-2030"
signataires = 2
presentation = 2024-09-19
source = "Présentation du Contrat de ville"
principes = ["Approche territoriale"]

[[contrat.objectifs]]
titre = "Vivre mieux"
actions = ["Accès aux droits et à la santé", "Cadre de vie"]

[[contrat.objectifs_indicateurs]]
action = "Cadre de vie"
indicateurs = ["part_locataires", "logements"]

[[contrat.objectifs_indicateurs]]
action = "Accès aux droits et à la santé"
indicateurs = ["part_c2s_non_participative", "pharmacies_distance", "apl_infirmiers"]

[[contrat.qpv]]
code_qp = "{CARRES}"
nom = "Carrés"
population = 2990
taux_pauvrete = 50
part_familles_monoparentales = 38

[[contrat.quartiers_fragiles]]
nom = "Cité de l'Étang"
insee_com = "{GRANDVILLE}"
lib_com = "Grandville"

[[contrat.quartiers_fragiles]]
nom = "Cité du Bois"
insee_com = "{PETITBOURG}"
lib_com = "Petitbourg"
"""

LOCAL_FILES = """
[quartiers_fichier]
chemin = "quartiers.gpkg"
mise_a_jour = 2025-01-31
champ_nom = "libelle"

[quartiers_fragiles_fichier]
chemin = "fragiles.zip"
mise_a_jour = 2025-02-28
crs = "EPSG:2154"
"""

# The four tables without which there is no release, then all others that a release can do without.
REQUIRED = ("qpv_2024", "communes_epci", "insee_population", "insee_filosofi")


def write_territory(folder: Path, *, files: bool = True) -> Path:
    """Write the territory's file and, unless told otherwise, the contour files that it declares."""
    path = folder / "villeneuve.toml"
    path.write_text(TERRITORY + (LOCAL_FILES if files else ""), encoding="utf-8")
    if not files:
        return path
    _frame({"libelle": ["Centre"]}, [DISTRICT]).to_file(folder / "quartiers.gpkg")
    # Spelled as people do: the contract says "Cité de l'Étang".
    fragile = _frame({"nom": ["cité de l\u2019etang"]}, [FRAGILE])
    zip_shapefile(folder / "fragiles.zip", fragile, "fragiles", without=(".prj",))
    return path


def write_mirror(root: Path, *, only: Sequence[str] | None = None) -> Path:
    """Write the official files, laid out as a mirror; or those of some sources."""
    writers = {
        "qpv_2024": _write_contours,
        "communes_epci": _write_communes,
        "cog_epci": _write_cog,
        "qpv_2015": _write_contours_2015,
        "correspondance_2024_2015": _write_correspondence,
        "listeqp_2025": _write_list,
        "iris": _write_iris,
        "bpe": _write_facilities,
        "finess": _write_finess,
        "bdtopo": _write_base_map,
        "insee": _write_thematic,
        "iris_statistics": _write_iris_statistics,
        "apl": _write_apl,
    }
    for folder in ("anct", "insee", "cog", "ign/iris", f"geo-api/epcis/{EPCI}"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    _write_population(root)
    _write_income(root, zones=only is None)
    for source, write in writers.items():
        if only is None or source in only:
            write(root)
    return root


def _write_base_map(root: Path) -> None:
    x, y = _CORNER
    features = city([(x + 1000, y + 1000, x + 4000, y + 4000), (x + 5500, y + 4500, x + 11_500, y + 8000)])
    every = [feature for listed in features.values() for feature in listed]
    write_json(root / f"ign/bdtopo-{EPCI}.geojson", {"type": "FeatureCollection", "features": every})


def _frame(columns: Mapping[str, Sequence[object]], shapes: Sequence[BaseGeometry]) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(dict(columns), geometry=list(shapes), crs=2154)


def _degrees(shape: BaseGeometry) -> dict[str, Any]:
    """Return a geometry as GeoJSON; degrees of 15 digits, so that the corners come back where they were."""
    multi = shapely.MultiPolygon([shape])
    degrees = gpd.GeoSeries([multi], crs=2154).to_crs(4326).iloc[0]
    geometry: dict[str, Any] = shapely.geometry.mapping(degrees)
    return geometry


def _feature(properties: dict[str, object], shape: BaseGeometry) -> dict[str, object]:
    return {"type": "Feature", "properties": properties, "geometry": _degrees(shape)}


def _collection(features: list[dict[str, object]]) -> dict[str, object]:
    return {"type": "FeatureCollection", "features": features}


def _write_contours(root: Path) -> None:
    """Put the three QPV and their neighbour in the place of made-up ones of the Doubs: the counts stay."""
    collection = country()
    of_doubs = [f for f in collection["features"] if f["properties"]["lib_qp"].startswith("Quartier QN025")]
    replaced = {feature["properties"]["code_qp"] for feature in of_doubs[: len(QPV) + 1]}
    kept = [f for f in collection["features"] if f["properties"]["code_qp"] not in replaced]
    for order, (code, shape) in enumerate(CONTOURS.items()):
        declared = f"{GRANDVILLE}, {PETITBOURG}" if code == FRONTIERE else GRANDVILLE
        properties = of_doubs[0]["properties"] | {
            "fid": 20_000.0 + order,
            "code_qp": code,
            "lib_qp": NAMES[code],
            "insee_dep": "25",
            "insee_com": declared,
            "lib_com": "Grandville",
            "siren_epci": EPCI,
        }
        kept.append(_feature(properties, shape))
    elsewhere = of_doubs[0]["properties"] | {"fid": 30_000.0, "code_qp": NEIGHBOUR, "lib_qp": "Le Voisin"}
    kept.append(_feature(elsewhere, BESIDE))
    collection["features"] = kept
    (root / "anct/qpv-2024-geojson.zip").write_bytes(zipped(collection))


def _write_communes(root: Path) -> None:
    features = [
        _feature(
            {
                "code": code,
                "nom": name,
                "codeEpci": EPCI,
                "codeDepartement": "25",
                "codeRegion": "27",
                "population": 12_000,
            },
            square(west, 0, east, 10_000),
        )
        for code, (name, west, east) in COMMUNES.items()
    ]
    write_json(root / f"geo-api/epcis/{EPCI}/communes.geojson", _collection(features))


def _write_cog(root: Path) -> None:
    members = [{"code": code, "nom": name} for code, (name, *_) in COMMUNES.items()]
    entries = [
        {"code": EPCI, "nom": "CA Grand Villeneuve", "type": "CA", "membres": members},
        {
            "code": OTHER_EPCI,
            "nom": "CC Ailleurs",
            "type": "CC",
            "membres": [{"code": "39001", "nom": "Abergement"}],
        },
    ]
    write_json(root / "cog/epci.json.gz", entries)


def _write_contours_2015(root: Path) -> None:
    """Write the three of 2015 among as many as the country has: the others stand in a row far away."""
    others = _QPV_2015 - len(CONTOURS_2015)
    codes = [f"QP0{department}{order:03}" for department in range(30, 45) for order in range(1, 100)]
    columns = {
        "CODE_QP": [*CONTOURS_2015, *codes[:others]],
        "NOM_QP": [*(name for name, _ in CONTOURS_2015.values()), *codes[:others]],
        "COMMUNE_QP": ["Grandville"] * len(CONTOURS_2015) + ["Ailleurs"] * others,
    }
    far = [shapely.box(500_000 + 200 * n, 6_400_000, 500_100 + 200 * n, 6_400_100) for n in range(others)]
    frame = _frame(columns, [*(shape for _, shape in CONTOURS_2015.values()), *far])
    zip_shapefile(root / "anct/qp-politiquedelaville-shp.zip", frame, "QP_METROPOLE_LB93")


def _write_correspondence(root: Path) -> None:
    """Write the table; its last row is wrong, as one of the official table may be."""
    rows = [
        ["QP2024", "Label_QP2024", "Statut", "QP2015_1", "Label_QP2015_1", "QP2015_2", "Label_QP2015_2"],
        [CARRES, "Les Carrés", "MODIFIE", CARRES_2015, "Les Carrés", "", ""],
        [IDENTIQUE, "L'Identique", "INCHANGE", IDENTIQUE_2015, "L'Identique", "", ""],
        [FRONTIERE, "La Frontière", "MODIFIE", GONE_2015, "La Frontière", "", ""],
    ]
    write_csv(root / "anct/liste-correspondance-qp2024-qp2015.csv", rows)


def _write_list(root: Path) -> None:
    """Write ANCT's list, its codes for Excel; it puts L'Identique in the wrong commune, 3.4 km away."""
    communes = {CARRES: GRANDVILLE, FRONTIERE: f"{GRANDVILLE};{PETITBOURG}", IDENTIQUE: PETITBOURG}
    rows = [
        [code, NAMES[code], f'"=""{listed}"""', f'"=""{EPCI}"""', "Grand Villeneuve", "", ""]
        for code, listed in communes.items()
    ]
    header = ["code_qp", "lib_qp", "insee_com", "siren_epci", "lib_epci", "", ""]
    write_csv(root / "anct/listeqp2024-cog2025.csv", [header, *rows])


def _write_iris(root: Path) -> None:
    for commune, (name, *_) in COMMUNES.items():
        features = [
            _feature(
                {
                    "code_insee": commune,
                    "nom_commune": name,
                    "iris": code[5:],
                    "code_iris": code,
                    "nom_iris": label,
                    "type_iris": "Z" if code.endswith("0000") else "H",
                },
                square(west, 0, east, 10_000),
            )
            for code, (label, owner, west, east) in IRIS.items()
            if owner == commune
        ]
        write_json(root / f"ign/iris/{commune}.geojson", _collection(features))


# Care: type, commune, metres from the corner, quality of its position, the QPV where INSEE places it. The
# easternmost building of Les Carrés ends at 3,004 m, of La Frontière at 10,402, of L'Identique at 6,604.
CARE = (
    ("D265", GRANDVILLE, 9500, 5100, "11", FRONTIERE),
    ("D265", GRANDVILLE, 9900, 5200, "11", FRONTIERE),
    ("D265", PETITBOURG, 10_600, 5200, "12", None),  # 200 m east
    ("D265", GRANDVILLE, 8950, 5200, "11", None),  # 450 m west
    ("D265", GRANDVILLE, 9900, 6300, "11", None),  # 900 m north
    ("D265", GRANDVILLE, 9900, 6450, "11", None),  # 1,050 m north
    ("D265", PETITBOURG, 10_500, 5300, "33", FRONTIERE),
    ("D281", GRANDVILLE, 2050, 2500, "22", CARRES),  # 50 m from the limit
    ("D281", GRANDVILLE, 3104, 2460, "12", None),  # 104 m beyond it
    ("D281", GRANDVILLE, 3700, 2500, "11", None),
    ("D279", GRANDVILLE, 3104, 2460, "21", None),
    ("D277", PETITBOURG, 10_602, 5147, "11", None),  # 202 m from the limit, 200 from a building
    ("D278", GRANDVILLE, 6704, 7040, "11", None),  # 104 m from the limit, 100 from a building
    ("D266", GRANDVILLE, 6350, 7250, "11", IDENTIQUE),
    ("D251", GRANDVILLE, 6350, 8200, "11", None),  # 700 m north
    ("D108", GRANDVILLE, 6350, 7799, "11", None),  # 299 m north
    ("D113", GRANDVILLE, 6350, 7801, "11", None),
    ("D302", GRANDVILLE, 7300, 7250, "11", None),  # 700 m east
    ("D101", GRANDVILLE, 6704, 7130, "11", None),
    ("D401", GRANDVILLE, 6904, 7040, "11", None),  # 300 m from a building
    ("D601", GRANDVILLE, 6350, 7250, "33", None),
    ("D602", GRANDVILLE, 6804, 7040, "11", None),  # 200 m from a building
    ("D115", GRANDVILLE, 7104, 7040, "11", None),  # 500 m from a building, 504 from the limit
)


def _write_facilities(root: Path) -> None:
    """Write pharmacies in and around Les Carrés, a doctor of unknown place, one far away, and `CARE`.

    INSEE places the second pharmacy in Les Carrés as well, which is wrong.
    """
    header = ["AN", "TYPEQU", "DEPCOM", "LAMBERT_X", "LAMBERT_Y", "EPSG", "QUALITE_GEOLOC", "QP2024"]
    x, y = _CORNER
    # Inside; 400 m east; 600 m east; beyond the corner (3000, 3000) by 353 m each way, then by 354 m.
    places = [(2500, 2500), (3400, 2500), (3600, 2500), (3353, 3353), (3354, 3354)]
    rows = [
        [
            "2025",
            "D307",
            GRANDVILLE,
            f"{x + east}",
            f"{y + north}",
            "2154",
            "11",
            CARRES if order < 2 else "HZ",
        ]
        for order, (east, north) in enumerate(places)
    ]
    rows.append(["2025", "D265", GRANDVILLE, "", "", "_U", "_U", "CSZ"])
    rows.append(["2025", "D307", "39001", "800000.0", "6500000.0", "2154", "11", "CSZ"])
    rows += [
        ["2025", kind, commune, f"{x + east}", f"{y + north}", "2154", quality, code or "HZ"]
        for kind, commune, east, north, quality, code in CARE
    ]
    table = write_csv(root / "BPE25.csv", [header, *rows], "utf-8")
    write_zip(root / "insee/BPE25.zip", {"BPE25.csv": table.read_bytes()})
    table.unlink()


def _write_apl(root: Path) -> None:
    """Write DREES's workbooks; a commune that exists no more, and a Paris of two *arrondissements*.

    In 2024 the mean of the Doubs is (5 x 11,000 + 2 x 9,000) / 20,000 = 3.65; that of France
    (73,000 + 4 x 1,000 + 3 x 2,000 + 6 x 1,000 + 4 x 1,000) / 25,000 = 3.72.
    """
    elsewhere = [
        ("01001", "L'Abergement-Clémenciat", 3.0, 2000.0),
        ("25903", "Hameau", "nd", 100.0),
        ("39001", "Abergement", 4.0, 1000.0),
        ("75101", "Paris 1er Arrondissement", 6.0, 1000.0),
        ("75102", "Paris 2e Arrondissement", 4.0, 1000.0),
    ]
    of_2023 = [(GRANDVILLE, "Grandville", 4.5, 11_000.0), (PETITBOURG, "Petitbourg", "s", 9000.0)]
    of_2024 = [(GRANDVILLE, "Grandville", 5.0, 11_000.0), (PETITBOURG, "Petitbourg", 2.0, 9000.0)]
    write_every_apl(root / "drees", {2023: [*of_2023, *elsewhere], 2024: [*of_2024, *elsewhere]})


def _write_finess(root: Path) -> None:
    """Write the pharmacy in Les Carrés, 20 m from where INSEE places it, and a social service."""
    x, y = _CORNER
    commune = f"{GRANDVILLE[2:]};{GRANDVILLE[:2]};PAYS;99000 GRANDVILLE;;"
    lines = ["finess;etalab;98;2026-05-12"]
    for number, name, category in (("990000017", "PHARMACIE", "620"), ("990000025", "SERVICE", "340")):
        cells = f"990000009;{name};;;;1;R;HAUTE;;;{commune};{category};{name};3201;Agrégat"
        lines.append(f"structureet;{number};{cells};;;01;;;;2000-01-01;2000-01-01;2024-01-31;")
    source = "1,ATLASANTE,96,BAN,EPSG:2154 RGF93 / Lambert-93 (Métropole)"
    lines.append(f"geolocalisation;990000017;{x + 2520};{y + 2500};{source};2026-05-04")
    path = root / "ans/etalab-cs1100507-stock.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _text(rows: Sequence[Row], encoding: str = "utf-8-sig") -> bytes:
    return "".join(";".join(row) + "\r\n" for row in rows).encode(encoding)


def archive(path: Path, stem: str, tables: Mapping[str, Sequence[Row]], encoding: str = "utf-8-sig") -> None:
    """Write an archive of INSEE: a table by kind of zone (``QP``, ``COM``, …) and the dictionary ``meta``."""
    members = {
        (f"meta_{stem}.csv" if zone == "meta" else f"{stem}_{zone}.csv"): _text(rows, encoding)
        for zone, rows in tables.items()
    }
    write_zip(path, members)


DICTIONARY: list[Row] = [["COD_VAR", "LIB_VAR", "COD_MOD", "LIB_MOD"]]


def _by_qpv(header: Row, *rows: Row) -> list[Row]:
    return [["CODGEO", *header], *([code, *row] for code, row in zip(QPV, rows, strict=True))]


def _write_population(root: Path) -> None:
    rows = _by_qpv(
        ["LIB_QP", "popMuniQPV"], ["Les Carrés", "3000"], ["La Frontière", "800"], ["L'Identique", "700"]
    )
    write_csv(root / "insee/pop_QPV24.csv", rows)


def _write_income(root: Path, *, zones: bool) -> None:
    tables = {
        "QP": _by_qpv(["DISP_TP60_A21", "DISP_MED_A21"], ["52,5", "13450"], ["31,0", "17000"], ["s", "s"]),
        "meta": [
            ["COD_VAR", "LIB_VAR", "COD_MOD", "LIB_MOD"],
            ["DISP_TP60_A21", "Taux de pauvreté", "", ""],
        ],
    }
    if zones:
        tables |= {
            # Another source is that of the communes; these columns are not taken for its indicators.
            "COM": [["CODGEO", "TP6021", "MED21"], [GRANDVILLE, "17,9", "20900"], [PETITBOURG, "nd", "nd"]],
            "ENSQP": [["CODGEO", "DISP_TP60_A21", "DISP_MED_A21"], ["00", "44,3", "14220"]],
        }
    archive(root / "insee/revenus_pauvrete_2021_qp24_v2_csv.zip", "indic-revenu-disponible-qp24-2021", tables)


# What the census of 2022 says of Les Carrés alone: the rest is not precise enough.
_OF_HEALTH = {
    "part16_25nonScolNonEmp": "28,1",
    "partEmpDurLim": "29,9",
    "partMen1p": "46,7",
    "partPop0_14": "28,2",
    "partPop15_24": "16,1",
    "partPop60_74": "12,4",
    "partPop75p": "5,5",
    "partMen1p75p": "14,3",
    "partResPrincSurocc": "9,1",
    "partMenLoc": "88,5",
    "partMenVoit": "54,1",
}


def _write_thematic(root: Path) -> None:
    """Write the other tables by QPV; the demography in the older encoding and with a column of its own."""
    insee = root / "insee"
    communes = [
        ["CODGEO", "POP_COM", "popMuniQPV"],
        [GRANDVILLE, "12000", "4100"],
        [PETITBOURG, "12000", "400"],
    ]
    write_csv(insee / "pop_reference_communales_QPV24.csv", communes)
    demography = {
        "QP": _by_qpv(
            ["partFamMono", "txEmp", "TX_ECRAN", *_OF_HEALTH],
            ["40,5", "38,1", "12,5", *_OF_HEALTH.values()],
            ["ns", "55", "14", *[""] * len(_OF_HEALTH)],
            ["35", "50,2", "s", *[""] * len(_OF_HEALTH)],
        ),
        "COM": [["CODGEO", "txEmp"], [GRANDVILLE, "61,3"], [PETITBOURG, "64"]],
        "meta": [
            ["COD_VAR", "LIB_VAR", "COD_MOD", "LIB_MOD"],
            ["TX_ECRAN", "Part des foyers équipés d'un écran (%)", "", ""],
        ],
    }
    archive(
        insee / "estimations-demographiques_2022_QPV2024_csv.zip", "estimations-demo", demography, "cp1252"
    )
    _write_census_of_2020(insee)
    _write_income_of_communes(insee)
    tables = {
        "DEFM2024_QP24_csv": _by_qpv(["ABCDE", "ABCDE_F"], ["200", "100"], ["90", "30"], ["10", "8"]),
        "beneficiaires_CAF_31-12-2024_QP24": _by_qpv(
            ["A", "ARSAS", "AAAH"], ["900", "300", "120"], ["200", "40", "30"], ["90", "s", "s"]
        ),
        "EDUC_2024_2025_QP24": _by_qpv(["EFF_E6", "RET_E6"], ["40", "6"], ["12", "1"], ["8", "1"]),
        "DNB_2025_QP24": _by_qpv(["nbPresents", "nbAdmis"], ["30", "21"], ["10", "9"], ["10", "8"]),
        "RPLS_01-01-2025_QPV_2024": _by_qpv(
            ["nbLsPls", "medLoy", "txLsRp"], ["1000", "5,6", "71"], ["120", "6,1", "30"], ["0", "nd", "0"]
        ),
        "side_2023_QPV2024": _by_qpv(["ET_TOT"], ["150"], ["60"], ["12"]),
    }
    for name, rows in tables.items():
        archive(insee / f"{name}.zip", name.split("_csv")[0].lower(), {"QP": rows})
    _write_insured(insee)


def _write_insured(insee: Path) -> None:
    """Write the insured; the young of L'Identique are too few to be published, of whom the total is."""
    larger = ["C", "C_C2SNP", "C_C2SP"]
    tables: dict[str, Sequence[Row]] = {
        "QP": _by_qpv(
            [*larger, "C_17_C2SNP", "C_60_C2SNP"],
            ["2800", "1100", "400", "495", "121"],
            ["700", "150", "60", "75", "15"],
            ["650", "90", "20", "s", "s"],
        ),
        "COM": [["CODGEO", *larger], [GRANDVILLE, "9000", "1350", "500"], [PETITBOURG, "8000", "240", "s"]],
        "EPCI": [["CODGEO", *larger], [EPCI, "17000", "1590", "s"]],
        "DEP": [["CODGEO", *larger], ["25", "450000", "36000", "18000"], ["39", "200000", "10000", "6000"]],
    }
    archive(insee / "beneficiaires_CNAM_01-01-2025_QP24_csv.zip", "cnam", tables)


def _write_census_of_2020(insee: Path) -> None:
    """Write the older census as INSEE's archive holds it: estimates, intervals, and QPV taken together."""
    codes = ["partPopSansDip", "partPopBepCap", "txChom", "partFamMono", "indiceJeunesse", "txEmp"]
    header = ["codeGeo", "libGeo", *codes]
    estimates = [
        ["44,8", "24,7", "36", "39,5", "1,9", "37"],
        ["30,1", "22,2", "50", "", "", "54,1"],
        ["28,4", "", "48", "", "1,2", "50"],
    ]
    intervals = [
        ["[44,0/45,6]", "[23,9/25,5]", "[35,1/36,9]", "[37,0/42,0]", "[1,8/2,0]", "[35,5/38,5]"],
        ["[29,0/31,2]", "[21,0/23,4]", "[48,0/52,0]", "[20,1/51,3]", "non estimé", "[50,0/58,2]"],
        ["[27,0/29,8]", "[10,1/31,3]", "[46,0/50,0]", "", "[Inf/Inf]", "[44,4/55,6]"],
    ]
    # INSEE put the label before one code by mistake.
    spoilt = [f"Intervalle de l'{code}" if code == "indiceJeunesse" else code for code in header]
    tables: dict[str, list[Row]] = {
        "QPV": [header, *([code, "x", *row] for code, row in zip(QPV, estimates, strict=True))],
        "IC_QPV": [spoilt, *([code, "x", *row] for code, row in zip(QPV, intervals, strict=True))],
        "QPV_EPCI": [header, [f"{EPCI}_QPV24", "x", "38,2", "23,9", "41,5", "38,1", "1,7", "44"]],
        "QPV_DEP": [header, ["25_QPV24", "Doubs", "37,5", "23", "40", "37,2", "1,8", "41,4"]],
        "QPV_REG": [
            header,
            ["27_QPV", "x", "36", "22", "39", "35,5", "1,5", "42,2"],
            ["00_QPV", "France", "35", "21", "30", "33", "1,8", "47"],
        ],
        "meta": [*DICTIONARY, ["partPopSansDip", "Part de la population sans diplôme", "", ""]],
    }
    archive(insee / "estimations-demographiques_2020_QPV2024_csv.zip", "data_demo_2020", tables)


def _write_income_of_communes(insee: Path) -> None:
    header = ["CODGEO", "NBMENFISC21", "MED21", "TP6021"]
    rows = [header, [GRANDVILLE, "5200", "21000", "18,0"], [PETITBOURG, "5100", "nd", "s"]]
    epci = [["CODGEO", "TP6021", "MED21"], [EPCI, "15,5", "21900"], [OTHER_EPCI, "9,0", "24000"]]
    header = ["CODGEO", "TP6021", "MED21"]
    tables = {
        "COM": _text(rows, "utf-8"),
        "EPCI": _text(epci, "utf-8"),
        "DEP": _text([header, ["25", "12,9", "23000"], ["39", "12,5", "22500"]], "utf-8"),
        "METROPOLE": _text([header, ["FM", "14,9", "23080"]], "utf-8"),
    }
    members = {f"cc_filosofi_2021_{zone}.csv": text for zone, text in tables.items()}
    write_zip(insee / "base-cc-filosofi-2021-communes_csv.zip", members)
    long = [
        [
            "FILOSOFI_MEASURE",
            "GEO",
            "GEO_OBJECT",
            "UNIT_MEASURE",
            "CONF_STATUS",
            "UNIT_MULT",
            "TIME_PERIOD",
            "OBS_VALUE",
        ],
        ["MED_SL", GRANDVILLE, "COM", "EUR_YR", "F", "0", "2023", "22500"],
        ["MED_SL", PETITBOURG, "COM", "EUR_YR", "C", "0", "2023", ""],
        ["MED_SL", GRANDVILLE, "COM", "EUR_YR", "F", "0", "2022", "1"],
        ["MED_SL", "25201", "UU2020", "EUR_YR", "F", "0", "2023", "2"],
    ]
    write_zip(insee / "FILOSOFI_CC_csv.zip", {"DS_FILOSOFI_CC_2023_data.csv": _text(long, "utf-8")})


def _by_iris(header: Row, *rows: Row) -> list[Row]:
    labels = ["IRIS", "COM", *header]
    return [labels, *([code, code[:5], *row] for code, row in zip([*IRIS, "390010000"], rows, strict=True))]


def _write_iris_statistics(root: Path) -> None:
    """Write the census by IRIS, and Filosofi, which has a caution for the middle one and is of 2021."""
    tables = {
        "base-ic-evol-struct-pop-2022": _by_iris(
            ["P22_POP", "P22_POP1824"],
            ["2600", "200"],
            ["3400", "500"],
            ["4000", "300"],
            ["1000", "50"],
            ["1", "1"],
        ),
        "base-ic-couples-familles-menages-2022": _by_iris(
            ["C22_MEN", "C22_FAM", "C22_FAMMONO", "P22_POP80P", "P22_POP80P_PSEUL"],
            ["1040", "700", "140", "100", "40"],
            ["1700", "800", "s", "200", "110"],
            ["1600", "1200", "180", "150", "60"],
            ["400", "300", "30", "50", "s"],
            ["1", "1", "1", "1", "1"],
        ),
        "base-ic-activite-residents-2022": _by_iris(
            ["P22_POP1564", "P22_ACT1564", "P22_CHOM1564"],
            ["1800", "1300", "130"],
            ["2300", "1700", "340"],
            ["2500", "2000", "160"],
            ["600", "500", "25"],
            ["1", "1", "1"],
        ),
        "base-ic-diplomes-formation-2022": _by_iris(
            ["P22_SCOL1824"], ["100,5"], ["300"], ["150"], ["20"], ["1"]
        ),
        "base-ic-logement-2022": _by_iris(
            ["P22_LOG", "P22_LOGVAC", "P22_RP", "P22_RP_LOCHLMV"],
            ["1100", "60", "1000", "500"],
            ["1900", "200", "1600", "400"],
            ["1700", "100", "1550", "100"],
            ["420", "20", "400", "20"],
            ["1", "1", "1", "1"],
        ),
    }
    for name, rows in tables.items():
        meta = [*DICTIONARY, ["IRIS", "Code de l'IRIS", "", ""]]
        members = {f"{name}.CSV": _text(rows, "utf-8"), f"meta_{name}.CSV": _text(meta)}
        write_zip(root / f"insee/{name}_csv.zip", members)
    income = [
        ["IRIS", "DISP_TP6021", "DISP_MED21", "DISP_NOTE21"],
        [WEST, "35", "15800", "0"],
        [MIDDLE, "28", "17200", "1"],
        [EAST, "12,5", "23100", "0"],
    ]
    write_zip(
        root / "insee/BASE_TD_FILO_IRIS_2021_DISP_CSV.zip",
        {"BASE_TD_FILO_IRIS_2021_DISP.csv": _text(income, "utf-8")},
    )
