<?xml version="1.0" encoding="UTF-8"?>
<!-- ЕГР ЗАГС, рождение 4.0.1: ROGDZPRequest → routes.zags.birth.BirthNotice -->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
                xmlns:r="urn://x-artefacts-zags-rogdzp/root/112-23/4.0.1" xmlns:t="urn://x-artefacts-zags-rogdzp/types/4.0.1" exclude-result-prefixes="r t">
  <xsl:output method="xml" encoding="UTF-8" indent="no"/>

  <xsl:template match="/r:ROGDZPRequest">
    <birth>
      <reference><xsl:value-of select="@ИдСвед"/></reference>
      <xsl:for-each select="r:СведРегРожд">
        <acts>
          <xsl:call-template name="act"/>
          <xsl:for-each select="r:СвидетРожд">
            <certificate>
              <series><xsl:value-of select="@СерияСвидет"/></series>
              <number><xsl:value-of select="@НомерСвидет"/></number>
              <issued><xsl:value-of select="substring(@ДатаВыдСвидет, 1, 10)"/></issued>
            </certificate>
          </xsl:for-each>
          <xsl:for-each select="r:ПрдСведРег/r:СведРодившемся">
            <person>
              <xsl:for-each select="r:ФИОРожд"><xsl:call-template name="name"/></xsl:for-each>
              <sex><xsl:value-of select="@Пол"/></sex>
              <birth>
                <xsl:call-template name="date">
                  <xsl:with-param name="calendar" select="r:ДатаРождКаленд"/>
                  <xsl:with-param name="partial" select="r:ДатаРождДок"/>
                </xsl:call-template>
              </birth>
              <birth_place><xsl:value-of select="normalize-space(r:МестоРожден/@МестоТекст)"/></birth_place>
            </person>
            <alive><xsl:value-of select="@ЖивМертв"/></alive>
          </xsl:for-each>
          <xsl:for-each select="r:ПрдСведРег/r:СведМать">
            <mother><xsl:call-template name="parent"/></mother>
          </xsl:for-each>
          <xsl:for-each select="r:ПрдСведРег/r:СведОтец">
            <father><xsl:call-template name="parent"/></father>
          </xsl:for-each>
        </acts>
      </xsl:for-each>
    </birth>
  </xsl:template>

  <xsl:template name="parent">
    <xsl:for-each select="t:ФИО"><xsl:call-template name="name"/></xsl:for-each>
    <birth>
      <xsl:call-template name="date">
        <xsl:with-param name="calendar" select="t:ДатаРождКаленд"/>
        <xsl:with-param name="partial" select="t:ДатаРождДок"/>
      </xsl:call-template>
    </birth>
    <document><xsl:value-of select="t:УдЛичнФЛ/@СерНомДок"/></document>
  </xsl:template>

  <!-- Запись акта: орган, номер, версия, состояние, исправления. Контекст: СведРег… -->
  <xsl:template name="act">
    <office_code><xsl:value-of select="r:ОрганЗАГС/@КодЗАГС"/></office_code>
    <office_name><xsl:value-of select="r:ОрганЗАГС/@НаимЗАГС"/></office_name>
    <act_number><xsl:value-of select="@НомерЗапис"/></act_number>
    <act_date><xsl:value-of select="substring(@ДатаЗапис, 1, 10)"/></act_date>
    <version><xsl:value-of select="@НомерВерс"/></version>
    <version_date><xsl:value-of select="substring(@ДатаВерс, 1, 10)"/></version_date>
    <status_code><xsl:value-of select="r:СтатусЗаписи/@КодСтатус"/></status_code>
    <restored><xsl:value-of select="substring(r:СведВосстанАГС/@ДатаВнесИспр, 1, 10)"/></restored>
    <annulled><xsl:value-of select="substring(r:СведАннулирАГС/@ДатаВнесИспр, 1, 10)"/></annulled>
  </xsl:template>

  <!-- Контекст: ФИО -->
  <xsl:template name="name">
    <surname><xsl:value-of select="normalize-space(t:Фамилия)"/></surname>
    <given><xsl:value-of select="normalize-space(t:Имя)"/></given>
    <patronymic><xsl:value-of select="normalize-space(t:Отчество)"/></patronymic>
  </xsl:template>

  <!-- Полная дата или то, что известно из неполной: ГГГГ-ММ-ДД, ГГГГ-ММ, ГГГГ -->
  <xsl:template name="date">
    <xsl:param name="calendar"/>
    <xsl:param name="partial"/>
    <xsl:choose>
      <xsl:when test="$calendar"><xsl:value-of select="substring($calendar, 1, 10)"/></xsl:when>
      <xsl:when test="$partial">
        <xsl:value-of select="substring($partial/t:Год, 1, 4)"/>
        <xsl:if test="$partial/t:Месяц">
          <xsl:value-of select="format-number($partial/t:Месяц, '-00')"/>
          <xsl:if test="$partial/t:День"><xsl:value-of select="format-number($partial/t:День, '-00')"/></xsl:if>
        </xsl:if>
      </xsl:when>
    </xsl:choose>
  </xsl:template>
</xsl:stylesheet>
