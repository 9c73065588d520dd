<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="AllStyleCategories" labelsEnabled="{{ (layer.look.labels | length > 0) | int }}" hasScaleBasedVisibilityFlag="{{ (layer.look.farthest > 0) | int }}" minScale="{{ layer.look.farthest or 100000000 }}" maxScale="0">
{# Relations, and names that another layer gives, are the project's. #}
{%- set members, relations = {}, {} %}
{% include "style.xml" %}

</qgis>
