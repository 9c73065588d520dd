// pygeoapi's pages gather markers in clusters; areas need none.
L.markerClusterGroup = () => L.featureGroup();
