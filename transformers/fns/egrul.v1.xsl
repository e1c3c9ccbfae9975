<?xml version="1.0" encoding="UTF-8"?>
<!-- ФНС, новые сведения ЕГРЮЛ: NSVUIDATRequest → routes.fns.egrul.News. Пространство имён типов внутри
     блоков неизвестно, поэтому вложенные элементы берутся по местному имени. -->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
                xmlns:n="urn://x-artefacts-fns-nsvuidat/root/311-31/4.0.0" exclude-result-prefixes="n">
  <xsl:output method="xml" encoding="UTF-8" indent="no"/>

  <xsl:template match="/n:NSVUIDATRequest">
    <news>
      <xsl:for-each select="n:СвЮЛ">
        <organizations>
          <ogrn><xsl:value-of select="@ОГРН"/></ogrn>
          <ogrn_date><xsl:value-of select="substring(@ДатаОГРН, 1, 10)"/></ogrn_date>
          <extract_date><xsl:value-of select="substring(@ДатаВып, 1, 10)"/></extract_date>
          <inn><xsl:value-of select="@ИНН"/></inn>
          <kpp><xsl:value-of select="@КПП"/></kpp>
          <name><xsl:value-of select="normalize-space(n:СвНаимЮЛ/@НаимЮЛПолн)"/></name>
          <short_name><xsl:value-of select="normalize-space(n:СвНаимЮЛ/@НаимЮЛСокр)"/></short_name>
          <xsl:for-each select="n:СвСтатус[last()]//*[@КодСтатусЮЛ]">
            <status_code><xsl:value-of select="@КодСтатусЮЛ"/></status_code>
            <status_name><xsl:value-of select="normalize-space(@НаимСтатусЮЛ)"/></status_name>
          </xsl:for-each>
          <ended><xsl:value-of select="substring(n:СвПрекрЮЛ/@ДатаПрекрЮЛ, 1, 10)"/></ended>
          <address><xsl:apply-templates select="n:СвАдресЮЛ/*[local-name() = 'АдресРФ']"/></address>
        </organizations>
      </xsl:for-each>
    </news>
  </xsl:template>

  <!-- Адрес одной строкой: индекс, части сверху вниз, дом -->
  <xsl:template match="*[local-name() = 'АдресРФ']">
    <xsl:value-of select="@Индекс"/>
    <xsl:for-each select="*[@*[starts-with(name(), 'Наим')]]">
      <xsl:text>, </xsl:text>
      <xsl:value-of select="normalize-space(concat(@*[starts-with(name(), 'Тип')], ' ',
                                                   @*[starts-with(name(), 'Наим')]))"/>
    </xsl:for-each>
    <xsl:for-each select="@Дом | @Корпус | @Кварт">
      <xsl:value-of select="concat(', ', .)"/>
    </xsl:for-each>
  </xsl:template>
</xsl:stylesheet>
