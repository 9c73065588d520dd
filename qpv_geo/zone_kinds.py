"""Kinds of zones that statistics are about, and the French words that readers see for them."""

ZONE_WORDS = {
    "qpv": "QPV",
    "commune": "commune",
    "epci": "EPCI",
    "departement": "département",
    "region": "région",
    "france": "France",
    "iris": "IRIS",
    "ensemble_qpv_epci": "QPV de l'EPCI",
    "ensemble_qpv_departement": "QPV du département",
    "ensemble_qpv_region": "QPV de la région",
    "ensemble_qpv": "ensemble des QPV",
    "qpv_commune": "QPV de la commune (calcul)",
    "qpv_epci": "QPV de l'EPCI (calcul)",
    "qpv_departement": "QPV du département (calcul)",
    "qpv_france": "QPV de France (calcul)",
    "quartier": "quartier de la ville",
    "quartier_fragile": "quartier fragile",
}
"""By kind. INSEE publishes those of QPV taken together as they are; what is computed here says so."""
