// Is a point in a QPV? The answers are those of `qpv-geo locate`: oui, non, incertain.
(function () {
  const points = JSON.parse(document.getElementById("points").textContent);
  const [ouest, sud] = points.origine;
  const largeurs = points.qpv.map(function (qpv) { return qpv.largeur; });
  function anneaux(pas) {
    return pas.map(function (anneau) {
      let x = 0, y = 0;
      return Array.from({ length: anneau.length / 2 }, function (_, rang) {
        x += anneau[2 * rang];
        y += anneau[2 * rang + 1];
        return [ouest + x / 100, sud + y / 100];
      });
    });
  }
  const quartiers = points.qpv.map(function (qpv) { return { qpv: qpv, anneaux: anneaux(qpv.contour) }; });
  const sol = anneaux(points.sol);

  // Metres to the nearest edge, negative inside.
  function ecart(x, y, contour) {
    let carre = Infinity, dedans = false;
    contour.forEach(function (anneau) {
      anneau.forEach(function (debut, rang) {
        const fin = anneau[(rang + 1) % anneau.length];
        const dx = fin[0] - debut[0], dy = fin[1] - debut[1];
        const part = ((x - debut[0]) * dx + (y - debut[1]) * dy) / (dx * dx + dy * dy || 1);
        const pied = Math.min(Math.max(part, 0), 1);
        carre = Math.min(carre, (x - debut[0] - pied * dx) ** 2 + (y - debut[1] - pied * dy) ** 2);
        if ((debut[1] > y) !== (fin[1] > y) && x < debut[0] + (y - debut[1]) / dy * dx) { dedans = !dedans; }
      });
    });
    return dedans ? -Math.sqrt(carre) : Math.sqrt(carre);
  }

  // Metres of a longitude and a latitude; null where they are far away.
  function versMetres(lon, lat) {
    const p = points.projection;
    const u = (lon - p.centre[0]) / p.demi[0], v = (lat - p.centre[1]) / p.demi[1];
    if (!(Math.abs(u) <= 1 && Math.abs(v) <= 1)) { return null; }
    const metres = [0, 0];
    let rang = 0;
    for (let i = 0; i <= p.degre; i += 1) {
      for (let j = 0; j <= p.degre - i; j += 1, rang += 1) {
        const terme = Math.cos(i * Math.acos(u)) * Math.cos(j * Math.acos(v));
        metres[0] += p.termes[rang][0] * terme;
        metres[1] += p.termes[rang][1] * terme;
      }
    }
    return metres;
  }

  // `rayon`: by how many metres the point may be wrong. Nearer to a limit, the answer is uncertain.
  function repondre(x, y, rayon) {
    const mesures = quartiers.map(function (quartier) {
      return { qpv: quartier.qpv, ecart: ecart(x, y, quartier.anneaux) };
    });
    const dedans = mesures.find(function (mesure) { return mesure.ecart < 0; });
    const proche = dedans || mesures.reduce(function (une, autre) { return autre.ecart < une.ecart ? autre : une; });
    const bande = mesures.reduce(function (une, autre) {
      return autre.ecart - autre.qpv.largeur < une.ecart - une.qpv.largeur ? autre : une;
    });
    const marge = bande.ecart - bande.qpv.largeur;
    const flou = rayon + points.tolerance;
    function juger(distance) { return Math.abs(distance) < flou ? "incertain" : distance < 0 ? "oui" : "non"; }
    const reponse = { en_qpv: juger(proche.ecart), bande: juger(marge), proche: proche.qpv, distance: proche.ecart, largeur: (dedans || bande).qpv.largeur };
    // Beyond the ground where every QPV is known, there may be another.
    const dehors = ecart(x, y, sol) + flou;
    reponse.dehors = reponse.en_qpv === "non" && dehors > 0;
    if (reponse.dehors) { reponse.en_qpv = "incertain"; }
    if (reponse.bande === "non" && dehors + Math.max(...largeurs) > 0) { reponse.bande = "incertain"; }
    return reponse;
  }

  // Two numbers, however they are written and in either order: metres of the projection; null if unreadable.
  function lire(texte) {
    if (/[^\d\s.,;°+NEné−-]/.test(texte)) { return null; }
    let nombres = texte.replace(/−/g, "-").match(/[+-]?\d+(?:[.,]\d+)?/g) || [];
    if (nombres.length === 1) { nombres = texte.split(","); }
    const [a, b] = nombres.map(function (nombre) { return Number(nombre.replace(",", ".")); });
    if (nombres.length !== 2 || isNaN(a) || isNaN(b)) { return null; }
    if (Math.abs(a) <= 180 && Math.abs(b) <= 180) {
      return versMetres(a, b) || versMetres(b, a) || [NaN, NaN];
    }
    const [gauche, bas, droite, haut] = points.emprise;
    const tient = [[a, b], [b, a]].find(function (point) {
      return point[0] >= gauche && point[0] <= droite && point[1] >= bas && point[1] <= haut;
    });
    return tient || [NaN, NaN];
  }
  Object.assign(qpvGeo, { lire: lire, repondre: repondre, versMetres: versMetres });

  // ---------------------------------------------------------------- the form

  const carte = qpvGeo.carte;
  const champ = document.getElementById("lieu");
  const sortie = document.getElementById("reponse");
  const bouton = document.getElementById("interroger");
  const repere = L.circleMarker([0, 0], { className: "trouve", radius: 8, interactive: false });
  const marge = L.circle([0, 0], { className: "marge", interactive: false });
  function metres(valeur) { return Math.round(valeur).toLocaleString("fr-FR") + "\u00a0m"; }
  function ligne(texte, balise) {
    const element = document.createElement(balise || "p");
    element.append(...[].concat(texte));
    return element;
  }
  function nom(qpv) {
    const dit = qpv.nom + " (" + qpv.code + ")";
    if (!qpv.portrait) { return dit; }
    const lien = ligne(dit, "a");
    lien.href = encodeURIComponent(qpv.code) + ".html";
    return lien;
  }
  function dire() { sortie.replaceChildren(...arguments); }

  // `rayon` is Infinity where nobody knows how precise the point is.
  function montrer(point, rayon, intitule) {
    const [x, y] = point;
    const loin = isNaN(x);
    repere.remove();
    marge.remove();
    if (loin) {
      dire(ligne("Incertain\u00a0: ce point est loin du territoire, et cette publication ne connaît pas les quartiers de là-bas.", "strong"));
      return;
    }
    const reponse = repondre(x, y, rayon);
    const distance = Math.abs(reponse.distance);
    const connue = distance <= points.lointain;
    const precision = rayon === Infinity ? "inconnue" : rayon ? "±\u00a0" + metres(Math.max(rayon, 1)) : "au centimètre";
    const qpv = {
      oui: ["Oui\u00a0: ce point est dans le QPV ", nom(reponse.proche), ", à " + metres(distance) + " de sa limite."],
      non: ["Non\u00a0: ce point n’est dans aucun QPV. "].concat(connue ? ["Le plus proche est ", nom(reponse.proche), ", à " + metres(distance) + "."] : ["Aucun à moins de " + metres(points.lointain) + "."]),
      incertain: reponse.dehors
        ? ["Incertain\u00a0: hors de ce que cette publication connaît, un autre quartier peut être là."]
        : ["Incertain\u00a0: la limite du QPV ", nom(reponse.proche), " est à " + metres(distance) + ", plus près que le point n’est précis (" + precision + ")."],
    };
    const largeur = connue || reponse.bande === "oui" ? " de " + metres(reponse.largeur) : "";
    const suite = points.bandes ? "" : " Cette publication n’a pas les bandes\u00a0: leur largeur est supposée.";
    const note = ligne(intitule + "\u00a0; précision " + precision + ".");
    note.className = "note";
    dire(ligne(qpv[reponse.en_qpv], "strong"), ligne("Dans un QPV ou dans la bande" + largeur + " autour (TVA réduite)\u00a0: " + reponse.bande + "." + suite), note);
    const lieu = [y - sud, x - ouest];
    repere.setLatLng(lieu).addTo(carte);
    if (rayon > 0 && rayon < Infinity) { marge.setLatLng(lieu).setRadius(rayon).addTo(carte); }
    if (!carte.getBounds().contains(lieu)) { carte.panTo(lieu); }
  }

  function basculer(actif) {
    qpvGeo.interroge = actif;
    bouton.setAttribute("aria-pressed", String(actif));
    carte.getContainer().classList.toggle("interroge", actif);
  }
  bouton.addEventListener("click", function () {
    basculer(!qpvGeo.interroge);
    dire(...(qpvGeo.interroge ? [ligne("Cliquer un point de la carte\u00a0; appuyer de nouveau sur le bouton pour ouvrir les portraits.")] : []));
    if (qpvGeo.interroge) { carte.getContainer().scrollIntoView({ block: "nearest" }); }
  });
  carte.on("click", function (evenement) {
    if (!qpvGeo.interroge) { return; }
    // A click is precise to three pixels.
    const rayon = 3 / carte.options.crs.scale(carte.getZoom());
    const point = [ouest + evenement.latlng.lng, sud + evenement.latlng.lat];
    montrer(point, rayon, "Point de la carte\u00a0: E " + metres(point[0]) + ", N " + metres(point[1]) + " (" + points.systeme + ")");
  });
  document.getElementById("recherche").hidden = false;
  document.getElementById("recherche").addEventListener("submit", function (evenement) {
    evenement.preventDefault();
    const point = lire(champ.value);
    if (point) {
      montrer(point, 0, "Coordonnées lues\u00a0: E " + metres(point[0]) + ", N " + metres(point[1]) + " (" + points.systeme + ")");
    } else {
      dire(ligne("Ce ne sont pas deux nombres. Pour une adresse, appuyer sur «\u00a0Demander l’adresse à l’IGN\u00a0»."));
    }
  });

  function choisir(reponses, rang) {
    const reponse = reponses[rang];
    const qualite = reponse.properties;
    const point = versMetres(...reponse.geometry.coordinates) || [NaN, NaN];
    const rayon = qualite.score >= points.geocodeur.seuil ? points.geocodeur.rayons[qualite.type] || Infinity : Infinity;
    montrer(point, rayon, "Adresse trouvée par l’IGN\u00a0: " + qualite.label);
    const autres = reponses.map(function (autre, numero) {
      const element = ligne(autre.properties.label, "button");
      element.type = "button";
      element.addEventListener("click", function () { choisir(reponses, numero); });
      return element;
    }).filter(function (_, numero) { return numero !== rang; });
    if (autres.length) { sortie.append(ligne(["Ou bien\u00a0: "].concat(autres))); }
  }
  document.getElementById("geocoder").addEventListener("click", function () {
    const demande = champ.value.trim();
    if (!demande) { champ.focus(); return; }
    dire(ligne("Demande en cours…"));
    fetch(points.geocodeur.adresse + "?limit=4&q=" + encodeURIComponent(demande), { credentials: "omit", referrerPolicy: "no-referrer" })
      .then(function (reponse) { if (!reponse.ok) { throw new Error(reponse.status); } return reponse.json(); })
      .then(function (reponse) {
        if (reponse.features.length) { choisir(reponse.features, 0); } else { dire(ligne("L’IGN ne trouve pas cette adresse.")); }
      })
      .catch(function () { dire(ligne("Le géocodeur de l’IGN n’a pas répondu\u00a0: réessayer, ou donner des coordonnées.")); });
  });
})();
