<?xml version="1.0" encoding="UTF-8"?>
<!-- Сведения об оказанных медицинских услугах 1.0.0: запрос → routes.ffoms.services.ServicesQuery -->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
                xmlns:s="http://ffoms.ru/GetInsuredRenderedMedicalServices/1.0.0"
                xmlns:c="urn://x-artefacts-smev-gov-ru/supplementary/commons/1.2" exclude-result-prefixes="s c">
  <xsl:output method="xml" encoding="UTF-8" indent="no"/>

  <xsl:template match="/s:InputData">
    <xsl:for-each select="s:InsuredRenderingListRequest">
      <query>
        <region><xsl:value-of select="s:RegionCode"/></region>
        <surname><xsl:value-of select="normalize-space(c:FamilyName)"/></surname>
        <given><xsl:value-of select="normalize-space(c:FirstName)"/></given>
        <patronymic><xsl:value-of select="normalize-space(c:Patronymic)"/></patronymic>
        <birth><xsl:value-of select="substring(s:BirthDate, 1, 10)"/></birth>
        <enp><xsl:value-of select="s:UnitedPolicyNumber"/></enp>
        <since><xsl:value-of select="substring(s:DateFrom, 1, 10)"/></since>
        <until><xsl:value-of select="substring(s:DateTo, 1, 10)"/></until>
      </query>
    </xsl:for-each>
  </xsl:template>
</xsl:stylesheet>
